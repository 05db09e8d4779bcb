//! What Mesa's RADV makes of the kernels: it compiles for AMD GPUs that are not there. The tool's own tables:
//! `cargo bench --bench radv`.

use std::process::Command;

use compiler::{Compiler, FAMILY_VARIABLE};
use figures::Figures;

#[path = "../benches/radv/compiler.rs"]
mod compiler;
#[path = "../benches/radv/figures.rs"]
mod figures;
#[path = "../benches/radv/programs.rs"]
mod programs;

/// RDNA3.
const FAMILY: &str = "navi31";

#[test]
fn no_program_spills_on_rdna3() {
    if std::env::var_os(FAMILY_VARIABLE).is_some() {
        return compile_all();
    }
    // The driver reads the family from the environment of the process, which the other tests share: again, in a child.
    let output = Command::new(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", "radv::no_program_spills_on_rdna3", "--nocapture"])
        .env(FAMILY_VARIABLE, FAMILY)
        .env("VK_LOADER_DRIVERS_SELECT", "*radeon*")
        .env_remove("VK_DRIVER_FILES")
        .env_remove("VK_ICD_FILENAMES")
        .output()
        .expect("the test starts again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if err.contains("Unknown family") {
        println!("skipped: this Mesa's RADV is too old to know {FAMILY}");
        return;
    }
    println!("{out}{err}");
    assert!(output.status.success(), "{out}{err}");
}

fn compile_all() {
    let compiler = match Compiler::open() {
        Ok(compiler) => compiler,
        Err(error) => return println!("skipped: {error:#}"),
    };
    let dispatches = programs::dispatches(compiler.matrix_units);
    assert!(dispatches.len() > 50, "only {} programs", dispatches.len());
    let figures =
        dispatches.iter().map(|dispatch| Figures::of(&compiler, dispatch).unwrap_or_else(|e| panic!("{e:#}")));
    let spilling: Vec<Figures> = figures.map(|(figures, _)| figures).filter(Figures::spills).collect();
    assert!(spilling.is_empty(), "on {} {} programs spill: {spilling:#?}", compiler.device, spilling.len());
    println!("{} programs, no spills on {} ({})", dispatches.len(), compiler.device, compiler.driver);
}

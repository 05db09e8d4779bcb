//! Static figures of every kernel on AMD GPUs that are not there: registers, spills, workgroup memory, occupancy, instructions
//! and estimated cycles, from Mesa's RADV, which compiles for any family without one.
//!
//!     cargo bench --bench radv                                     # RDNA3, RDNA2 and GCN 5, every program
//!     cargo bench --bench radv -- matmul --family navi31           # programs with that in their name, one family
//!     cargo bench --bench radv -- --json > radv.json
//!     cargo bench --bench radv -- 'matvec/subgroup q4_0' --family navi31 --asm
//!
//! Needs the Vulkan loader and Mesa's RADV (Debian: libvulkan1, mesa-vulkan-drivers); no GPU and no kernel driver. Exits with
//! 1 if a program spills registers, or keeps an array in memory, on any of the families.

mod compiler;
mod figures;
mod programs;

use std::io::Write;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::{Deserialize, Serialize};

use compiler::{Compiler, FAMILY_VARIABLE};
use figures::Figures;

/// Prints what Mesa's RADV makes of the kernels for AMD GPUs, without one.
#[derive(Parser)]
struct Arguments {
    /// Only programs whose names contain this
    #[arg(default_value = "")]
    program: String,
    /// A family that RADV knows, such as navi21 or mi200; may be repeated
    #[arg(long, default_values = ["navi31", "navi21", "vega10"])]
    family: Vec<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Print each program's assembly as well
    #[arg(long, conflicts_with = "json")]
    asm: bool,
    /// Compile for the family that the environment names, and print JSON: what the tool starts itself with
    #[arg(long, hide = true)]
    worker: bool,
    /// What 'cargo bench' passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one family makes of the programs.
#[derive(Serialize, Deserialize)]
struct Report {
    device: String,
    driver: String,
    programs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    figures: Figures,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assembly: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(spilling) => {
            eprintln!("{spilling} programs spill");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives how many programs spill.
fn run(arguments: &Arguments) -> Result<usize> {
    if arguments.worker {
        serde_json::to_writer(std::io::stdout(), &compile(arguments)?)?;
        return Ok(0);
    }
    let reports: Vec<Report> =
        arguments.family.iter().map(|family| delegate(family, arguments)).collect::<Result<_>>()?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &reports)?;
        writeln!(out)?;
    } else {
        reports.iter().try_for_each(|report| print(&mut out, report))?;
    }
    Ok(reports.iter().flat_map(|report| &report.programs).filter(|entry| entry.figures.spills()).count())
}

/// Compiles in a process of its own, since the driver reads the family from the environment, once.
fn delegate(family: &str, arguments: &Arguments) -> Result<Report> {
    let mut worker = Command::new(std::env::current_exe()?);
    worker.args(["--worker", &arguments.program]).args(arguments.asm.then_some("--asm"));
    // Whichever drivers the user prefers, here it is to be RADV.
    worker.env(FAMILY_VARIABLE, family).env_remove("VK_DRIVER_FILES").env_remove("VK_ICD_FILENAMES");
    worker.env("VK_LOADER_DRIVERS_SELECT", "*radeon*");
    let output = worker.output().context("this program does not start again")?;
    if !output.status.success() {
        // Else the driver's remarks about hardware that it misses are no news.
        bail!("no figures for {family}\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("the figures for {family} are cut short"))
}

fn compile(arguments: &Arguments) -> Result<Report> {
    let compiler = Compiler::open()?;
    let mut programs = Vec::new();
    for dispatch in programs::dispatches(compiler.matrix_units) {
        if dispatch.program.to_string().contains(&arguments.program) {
            let (figures, assembly) = Figures::of(&compiler, &dispatch)?;
            programs.push(Entry { figures, assembly: arguments.asm.then_some(assembly) });
        }
    }
    if programs.is_empty() {
        bail!("no program's name contains '{}'", arguments.program);
    }
    Ok(Report { device: compiler.device.clone(), driver: compiler.driver.clone(), programs })
}

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let name = |entry: &Entry| entry.figures.program.len();
    let width = report.programs.iter().map(name).max().unwrap_or(0);
    writeln!(out, "{} ({})", report.device, report.driver)?;
    writeln!(
        out,
        "{:width$}  lanes  SGPRs  VGPRs  spills  scratch    LDS  subgroups/SIMD  instructions   code  latency  1/throughput",
        "program"
    )?;
    for Entry { figures: f, assembly } in &report.programs {
        writeln!(
            out,
            "{:width$}  {:5}  {:5}  {:5}  {:6}  {:7}  {:5}  {:14}  {:12}  {:5}  {:7}  {:12}",
            f.program,
            f.subgroup_size,
            f.sgprs,
            f.vgprs,
            f.spilled_sgprs + f.spilled_vgprs,
            f.scratch,
            f.lds,
            f.subgroups_per_simd,
            f.instructions,
            f.code,
            f.latency,
            f.inverse_throughput
        )?;
        if let Some(assembly) = assembly {
            writeln!(out, "{assembly}")?;
        }
    }
    writeln!(out)
}

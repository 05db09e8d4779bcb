//! The figures of one program on one family, from the driver's statistics.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::compiler::{Compiled, Compiler, Shader};
use super::programs::spirv;
use wgpt::recording::Dispatch;

/// What a compiled program needs, and what the compiler thinks of its speed. Registers are those of a thread (vector) and
/// of a subgroup (scalar).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub program: String,
    /// Threads of a subgroup.
    pub subgroup_size: u32,
    pub sgprs: u64,
    pub vgprs: u64,
    pub spilled_sgprs: u64,
    pub spilled_vgprs: u64,
    /// Bytes of memory a thread, for spills and for arrays that are indexed by variables.
    pub scratch: u64,
    /// Bytes of workgroup memory.
    pub lds: u64,
    /// How many subgroups a SIMD can hold at once: what hides the latency of memory.
    pub subgroups_per_simd: u64,
    pub instructions: u64,
    /// Bytes of machine code.
    pub code: u64,
    /// Cycles from the first to the last instruction of a subgroup: RADV's estimate, which takes loops to run a few times.
    pub latency: u64,
    /// Cycles that a subgroup keeps the busiest unit: RADV's estimate, too.
    pub inverse_throughput: u64,
}

impl Figures {
    /// Compiles the dispatch's program, and gives its assembly beside its figures.
    pub fn of(compiler: &Compiler, dispatch: &Dispatch) -> Result<(Figures, String)> {
        let spirv = spirv(dispatch)?;
        let bindings: Vec<u32> = dispatch.bindings().iter().map(|binding| binding.index).collect();
        let immediate_size = dispatch.param_bytes().len() as u32;
        let shader = Shader { spirv: &spirv, bindings: &bindings, immediate_size };
        let program = dispatch.program.to_string();
        let compiled = compiler.compile(&shader).with_context(|| format!("RADV rejects {program}"))?;
        Ok((Figures::read(program, &compiled)?, compiled.assembly))
    }

    fn read(program: String, compiled: &Compiled) -> Result<Figures> {
        let value = |name: &str| {
            let statistic = compiled.statistics.iter().find(|statistic| statistic.0 == name);
            statistic.map(|s| s.1).with_context(|| format!("RADV has no statistic '{name}'; another Mesa may have it"))
        };
        Ok(Figures {
            program,
            subgroup_size: compiled.subgroup_size,
            sgprs: value("SGPRs")?,
            vgprs: value("VGPRs")?,
            spilled_sgprs: value("Spilled SGPRs")?,
            spilled_vgprs: value("Spilled VGPRs")?,
            scratch: value("Scratch size")?,
            lds: value("LDS size")?,
            subgroups_per_simd: value("Subgroups per SIMD")?,
            instructions: value("Instructions")?,
            code: value("Code size")?,
            latency: value("Latency")?,
            inverse_throughput: value("Inverse Throughput")?,
        })
    }

    /// Registers or arrays lie in memory.
    pub fn spills(&self) -> bool {
        self.spilled_sgprs + self.spilled_vgprs + self.scratch > 0
    }
}

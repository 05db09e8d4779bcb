//! Which cases a check runs, and which it leaves out.

use super::case::NOWHERE;
use super::{Case, cases};
use crate::kernels::{Selection, shader};

/// What to check. The default is all that a minute is enough for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only the cases of this one of [`kernels`].
    pub kernel: Option<String>,
    /// Only cases that contain this as they are displayed: name and seed. None of them is left out.
    pub case: Option<String>,
    /// Leave out no case that takes a software adapter seconds.
    pub all: bool,
}

impl Filter {
    fn admits(&self, case: &Case) -> bool {
        self.kernel.as_deref().is_none_or(|kernel| kernel == case.program.kernel)
            && self.case.as_deref().is_none_or(|text| case.to_string().contains(text))
    }
}

/// The names of all kernels.
pub fn kernels() -> impl Iterator<Item = &'static str> {
    shader::KERNELS.iter().map(|(name, _)| *name)
}

/// The cases of one check.
pub struct Plan {
    pub cases: Vec<Case>,
    /// Admitted by the filter, but too slow.
    pub left_out: Vec<Case>,
}

impl Plan {
    /// The cases that the filter admits, of those that an adapter with this selection can run.
    pub fn new(selection: &Selection, software: bool, filter: &Filter) -> Plan {
        let everything = !software || filter.all || filter.case.is_some();
        let admitted = cases(selection).into_iter().filter(|case| filter.admits(case));
        let (cases, left_out) = admitted.partition(|case| everything || !takes_seconds(case));
        Plan { cases, left_out }
    }
}

/// Whether a case takes a software adapter seconds, and others cover nearly all that it does: large register tiles with
/// each storage type (which the matvec and embedding cases read as well) and further head sizes, to compile; and argmax's
/// workgroups of 256 threads with eight barriers, in tens of thousands.
fn takes_seconds(case: &Case) -> bool {
    let program = &case.program;
    match program.kernel {
        "matmul" | "matmul_coop" | "matmul_f16" => !(program.weights == "f32" || program.has_flag("bias")),
        "matmul_dot4" => !(["q4_1", "q6_k"].contains(&program.weights) || program.has_flag("bias")),
        "attention" => match program.constant_value("D") {
            16 | 256 => program.has_flag("kv_f16") || program.has_flag("kv_q8_0"),
            64 => false,
            _ => true,
        },
        "argmax" => case.dispatch(&NOWHERE).grid[1] > 1,
        _ => false,
    }
}

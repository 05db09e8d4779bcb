//! What each class of adapters gets before anything has been measured on it: good at once, and explicit.

use super::role::{Role, Variant};
use super::{AdapterFacts, AdapterKind, LinearPath};
use crate::kernels::attention_tiles::AttentionPath;
use crate::recording::Requirement;

/// Adapters that are served alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterClass {
    /// A CPU that emulates a GPU in subgroups of eight, with memory in texels: Mesa's lavapipe with 256-bit vectors.
    SoftwareEightLanes,
    /// Any other CPU that emulates a GPU.
    Software,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
}

impl AdapterClass {
    pub fn of(facts: &AdapterFacts) -> AdapterClass {
        match facts.kind {
            AdapterKind::Software if facts.meet(Requirement::EightLanes) => AdapterClass::SoftwareEightLanes,
            AdapterKind::Software => AdapterClass::Software,
            AdapterKind::Integrated => AdapterClass::Integrated,
            AdapterKind::Discrete => AdapterClass::Discrete,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            AdapterClass::SoftwareEightLanes => "software adapters of eight lanes",
            AdapterClass::Software => "other software adapters",
            AdapterClass::Integrated => "integrated GPUs",
            AdapterClass::Discrete => "discrete GPUs",
        }
    }
}

/// A line of the table.
struct Default {
    /// The best first; the last one runs on all of the class.
    preferred: &'static [Variant],
    why: &'static str,
}

const MATMUL64: Variant = Variant::Linear(LinearPath::Matmul { tm: 4, tn: 4 });
const MATMUL32: Variant = Variant::Linear(LinearPath::Matmul { tm: 2, tn: 2 });
const MATVEC: Variant = Variant::Linear(LinearPath::Matvec { subgroups: false, blocks: false });
const MATVEC_SUBGROUP: Variant = Variant::Linear(LinearPath::Matvec { subgroups: true, blocks: false });
const MATVEC_LANES: Variant = Variant::Linear(LinearPath::MatvecLanes { rounded: false });
const MATMUL_LANES8: Variant = Variant::Linear(LinearPath::MatmulLanes { rows: 8 });
const MATMUL_LANES16: Variant = Variant::Linear(LinearPath::MatmulLanes { rows: 16 });
const ATTENTION: Variant = Variant::Attention(AttentionPath::Tile);
const ATTENTION_LANES: Variant = Variant::Attention(AttentionPath::Lanes);

fn line(class: AdapterClass, role: Role) -> Default {
    use AdapterClass::{Discrete, Integrated, Software, SoftwareEightLanes};
    let (preferred, why): (&'static [Variant], _) = match (class, role) {
        (SoftwareEightLanes, Role::LinearDecode) => (
            &[MATVEC_LANES],
            "barriers and loads are what costs there: a lane takes 64 weights of its rows at once, and waits for none",
        ),
        (SoftwareEightLanes, Role::LinearBatch) => (
            &[MATMUL_LANES8],
            "what a lane loads and dequantises serves eight rows: slower than a row at a time for two, faster from four",
        ),
        (SoftwareEightLanes, Role::LinearShort | Role::LinearPrefill) => (
            &[MATMUL_LANES16],
            "a lane loads a row once and its subgroup shares it: three times as fast as tiles in workgroup memory",
        ),
        (SoftwareEightLanes, Role::Attention) => {
            (&[ATTENTION_LANES], "keys are shared by subgroup, without the barriers of tiles")
        }
        (Software | Integrated | Discrete, Role::LinearDecode | Role::LinearBatch) => (
            &[MATVEC_SUBGROUP, MATVEC],
            "the weights are read once, which bounds it; subgroups, where there are any, leave fewer partial sums",
        ),
        (Software | Integrated | Discrete, Role::LinearShort) => {
            (&[MATMUL32], "tiles of 64 x 64 would be half empty, and a quarter as many for the cores to share")
        }
        (Software, Role::LinearPrefill) => {
            (&[MATMUL64], "fewest barriers and loads an operation of the kernels that run anywhere")
        }
        (Integrated | Discrete, Role::LinearPrefill) => {
            (&[MATMUL64], "each value in workgroup memory serves four products; no spills, full occupancy on RDNA")
        }
        (Software | Integrated | Discrete, Role::Attention) => (&[ATTENTION], "the one that runs anywhere"),
    };
    Default { preferred, why }
}

/// The kernel that an adapter gets for a role, and the reason.
pub(super) fn default_of(facts: &AdapterFacts, role: Role) -> (Variant, &'static str) {
    let Default { preferred, why } = line(AdapterClass::of(facts), role);
    let runs = preferred.iter().find(|variant| facts.meet(variant.requirement()));
    (*runs.unwrap_or(&preferred[preferred.len() - 1]), why)
}

/// What an adapter is where its weights lie in buffers.
pub(super) fn in_buffers(facts: &AdapterFacts) -> AdapterFacts {
    AdapterFacts { texels: false, ..*facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEITHER: AdapterFacts = AdapterFacts { kind: AdapterKind::Software, ..AdapterFacts::LEAST };

    #[test]
    fn every_class_gets_what_it_can_run() {
        for kind in [AdapterKind::Software, AdapterKind::Integrated, AdapterKind::Discrete] {
            for (subgroups, subgroup_sizes) in
                [(false, (0, 0)), (true, (1, 1)), (true, (4, 4)), (true, (8, 8)), (true, (32, 64))]
            {
                let facts =
                    AdapterFacts { kind, subgroups, subgroup_sizes, int64: true, texels: true, ..AdapterFacts::LEAST };
                for (facts, role) in
                    [facts, in_buffers(&facts)].into_iter().flat_map(|f| Role::ALL.map(|role| (f, role)))
                {
                    let (variant, why) = default_of(&facts, role);
                    assert!(facts.meet(variant.requirement()), "{facts:?} {role}: {variant}");
                    assert!(role.variants().contains(&variant), "{facts:?} {role}: {variant}");
                    assert!(!why.is_empty());
                }
            }
        }
    }

    #[test]
    fn no_default_rounds_to_f16() {
        for kind in [AdapterKind::Software, AdapterKind::Integrated, AdapterKind::Discrete] {
            let subgroups = AdapterFacts { kind, subgroups: true, subgroup_sizes: (32, 32), ..AdapterFacts::LEAST };
            let facts = AdapterFacts { int64: true, f16: true, matrices: [true; 2], ..subgroups };
            assert!(Role::LinearPrefill.variants().iter().any(|v| facts.meet(v.requirement()) && is_half(*v)));
            assert!(Role::ALL.into_iter().all(|role| !is_half(default_of(&facts, role).0)));
        }
    }

    fn is_half(variant: Variant) -> bool {
        variant.linear().is_some_and(LinearPath::multiplies_halves)
    }

    #[test]
    fn what_suits_a_cpu_is_no_gpus_default() {
        let gpu =
            AdapterFacts { subgroups: true, subgroup_sizes: (8, 8), int64: true, texels: true, ..AdapterFacts::LEAST };
        assert_eq!(default_of(&gpu, Role::LinearDecode).0, MATVEC_SUBGROUP);
        assert_eq!(default_of(&AdapterFacts { subgroups: false, ..gpu }, Role::LinearDecode).0, MATVEC);
        let cpu = AdapterFacts { kind: AdapterKind::Software, ..gpu };
        assert_eq!(default_of(&cpu, Role::LinearDecode).0, MATVEC_LANES);
        for less in [AdapterFacts { int64: false, ..cpu }, in_buffers(&cpu)] {
            assert_eq!(default_of(&less, Role::LinearDecode).0, MATVEC_SUBGROUP);
        }
        assert_eq!(default_of(&NEITHER, Role::LinearPrefill).0, MATMUL64);
    }
}

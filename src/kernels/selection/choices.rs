//! The choice of each role with its reason.

use std::fmt;

use super::defaults::{AdapterClass, default_of, in_buffers};
use super::{AdapterFacts, Forced, ForcedError, LinearPath, Role, Selection, Tuning, Variant};
use crate::formats::DType;
use crate::kernels::weight_layout::{dtype_of_shader, shader_name};

/// Why a kernel was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The table says so, and why.
    Default { class: AdapterClass, why: &'static str },
    /// It is the default where weights lie as this kernel of another role takes them.
    Beside { variant: Variant, class: AdapterClass, why: &'static str },
    /// It was the fastest, in words.
    Tuned(String),
    /// The user wants it.
    Forced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Default { class, why } => write!(f, "default of {}: {why}", class.name()),
            Reason::Beside { variant, class, why } => {
                let place = if variant.loads_texels() { "textures" } else { "buffers" };
                write!(f, "since {variant} takes weights in {place}, default of {}: {why}", class.name())
            }
            Reason::Tuned(why) => f.write_str(why),
            Reason::Forced => f.write_str("forced by --variant"),
        }
    }
}

/// A kernel for each role, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    facts: AdapterFacts,
    chosen: [Choice; Role::ALL.len()],
}

/// What was chosen for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    all: (Variant, Reason),
    /// Another kernel for weights of one type.
    exceptions: Vec<(DType, LinearPath, Reason)>,
}

impl Choice {
    fn all(variant: Variant, reason: Reason) -> Choice {
        Choice { all: (variant, reason), exceptions: Vec::new() }
    }
}

impl Choices {
    /// The defaults of the adapter's class.
    pub fn for_adapter(facts: &AdapterFacts) -> Choices {
        let class = AdapterClass::of(facts);
        let chosen = Role::ALL.map(|role| {
            let (variant, why) = default_of(facts, role);
            Choice::all(variant, Reason::Default { class, why })
        });
        Choices { facts: *facts, chosen }
    }

    /// Takes what was measured to be fastest. What the adapter cannot run, or is not known any more, stays as it is.
    pub fn tune(&mut self, tuning: &Tuning) {
        for tuned in &tuning.results {
            let facts = self.facts;
            let runs = |name: &str| tuned.role.variant(name).filter(|variant| facts.meet(variant.requirement()));
            let Some(variant) = runs(&tuned.chosen) else { continue };
            let mut choice = Choice::all(variant, Reason::Tuned(tuning.reason(tuned)));
            for exception in &tuned.exceptions {
                let dtype = dtype_of_shader(&exception.weights);
                let path = runs(&exception.chosen).and_then(Variant::linear);
                let reason = Reason::Tuned(tuning.figures(&exception.measured));
                choice.exceptions.extend(dtype.zip(path).map(|(dtype, path)| (dtype, path, reason)));
            }
            self.chosen[tuned.role as usize] = choice;
        }
        // One that takes weights in buffers runs beside those that the table has for other adapters, the others do not.
        let buffers = Role::LINEAR.map(|role| self.of(role).0).into_iter().find(|variant| !variant.loads_texels());
        self.stand_beside(buffers.unwrap_or(self.of(Role::LinearDecode).0));
    }

    /// Takes what the user wants.
    ///
    /// # Errors
    /// The adapter cannot run it.
    pub fn force(&mut self, forced: &Forced) -> Result<(), ForcedError> {
        for &(role, variant) in forced.variants() {
            if !self.facts.meet(variant.requirement()) {
                return Err(ForcedError::Unmet {
                    variant,
                    requirement: variant.requirement(),
                    possible: names(Selection::for_adapter(&self.facts).variants(role)),
                });
            }
            self.chosen[role as usize] = Choice::all(variant, Reason::Forced);
        }
        let linear = || forced.variants().iter().map(|(_, variant)| *variant).filter(|v| v.linear().is_some());
        let [texels, buffers] = [true, false].map(|texels| linear().find(|variant| variant.loads_texels() == texels));
        if let (Some(texels), Some(buffers)) = (texels, buffers) {
            return Err(ForcedError::Mixed { texels, buffers });
        }
        if let Some(variant) = texels.or(buffers) {
            self.stand_beside(variant);
        }
        Ok(())
    }

    /// Gives the roles whose kernels take weights elsewhere than this one the defaults that take them there.
    fn stand_beside(&mut self, variant: Variant) {
        let facts = if variant.loads_texels() { self.facts } else { in_buffers(&self.facts) };
        let class = AdapterClass::of(&facts);
        for role in Role::LINEAR {
            let choice = &mut self.chosen[role as usize];
            choice.exceptions.retain(|(_, path, _)| path.loads_texels() == variant.loads_texels());
            if choice.all.0.loads_texels() != variant.loads_texels() {
                let (default, why) = default_of(&facts, role);
                *choice = Choice::all(default, Reason::Beside { variant, class, why });
            }
        }
    }

    /// The kernel of a role, but for weights of some types, and the reason.
    pub fn of(&self, role: Role) -> &(Variant, Reason) {
        &self.chosen[role as usize].all
    }

    pub fn selection(&self) -> Selection {
        let chosen = |selection: Selection, role: Role| {
            let Choice { all: (variant, _), exceptions } = &self.chosen[role as usize];
            let other =
                |selection: Selection, (dtype, path, _): &(_, _, _)| selection.with_exception(role, *dtype, *path);
            exceptions.iter().fold(selection.with(role, *variant), other)
        };
        Role::ALL.into_iter().fold(Selection::for_adapter(&self.facts), chosen)
    }

    /// A line for each role, and for each type of weights that is an exception: what was chosen and why.
    pub fn describe(&self) -> Vec<String> {
        let line = |(role, Choice { all: (variant, reason), exceptions }): (Role, &Choice)| {
            let chosen = |what: String, variant: Variant, reason: &Reason| {
                let rounds = variant.linear().is_some_and(LinearPath::rounds_activations);
                let note = if rounds { " (rounds activations to 8 bits)" } else { "" };
                format!("{role} ({what}): {variant}{note} - {reason}")
            };
            let others = exceptions.iter().map(|(dtype, path, reason)| {
                chosen(format!("{}, {} weights", role.steps(), shader_name(*dtype)), Variant::Linear(*path), reason)
            });
            std::iter::once(chosen(role.steps(), *variant, reason)).chain(others).collect::<Vec<_>>()
        };
        let mut lines: Vec<String> = Role::ALL.into_iter().zip(&self.chosen).flat_map(line).collect();
        let in_one_order = self.selection().deterministic().variant(Role::LinearDecode);
        lines.push(format!("with --deterministic: {in_one_order} for any number of tokens"));
        lines
    }
}

/// Names in a row, for messages.
pub(super) fn names(variants: impl IntoIterator<Item = Variant>) -> String {
    variants.into_iter().map(Variant::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernels::{AdapterKind, Exception, Measurement, Tuned};
    use crate::recording::Requirement;

    const GPU: AdapterFacts = AdapterFacts {
        subgroups: true,
        subgroup_sizes: (32, 32),
        int64: true,
        texels: true,
        packed_dot: true,
        ..AdapterFacts::LEAST
    };

    fn tuning(chosen: &str) -> Tuning {
        let measured = vec![Measurement { variant: chosen.to_owned(), milliseconds: 1.25 }];
        let tuned = Tuned {
            role: Role::LinearDecode,
            chosen: chosen.to_owned(),
            measured,
            given_up: vec!["matmul64".to_owned()],
            exceptions: Vec::new(),
        };
        Tuning { date: "2026-11-22".to_owned(), model: "a model".to_owned(), results: vec![tuned] }
    }

    fn all() -> BTreeSet<DType> {
        DType::ALL.into()
    }

    fn decode(choices: &Choices) -> &'static str {
        let selection = choices.selection();
        assert_eq!(Variant::Linear(selection.linear(1, DType::Q8_0)), selection.variant(Role::LinearDecode));
        selection.variant(Role::LinearDecode).name()
    }

    #[test]
    fn what_is_forced_comes_before_what_was_measured_and_that_before_the_default() {
        let mut choices = Choices::for_adapter(&GPU);
        assert_eq!(choices.selection(), Selection::for_adapter(&GPU));
        assert_eq!(decode(&choices), "matvec_subgroup");
        choices.tune(&tuning("matvec"));
        assert_eq!(decode(&choices), "matvec");
        assert!(choices.describe()[0].ends_with("tuned on 2026-11-22 for a model: matvec 1.25 ms; given up: matmul64"));
        choices.force(&"linear.decode=matmul32".parse().expect("a variant")).expect("runs anywhere");
        assert_eq!(decode(&choices), "matmul32");
        assert_eq!(choices.of(Role::LinearDecode).1, Reason::Forced);
        assert_eq!(
            choices.selection().linear(2, DType::F32),
            Selection::for_adapter(&GPU).linear(2, DType::F32),
            "another role"
        );
    }

    #[test]
    fn weights_of_one_type_can_have_a_kernel_of_their_own() {
        let exception = |weights: &str, chosen: &str| Exception {
            weights: weights.to_owned(),
            chosen: chosen.to_owned(),
            measured: vec![Measurement { variant: chosen.to_owned(), milliseconds: 0.5 }],
        };
        let mut tuning = tuning("matvec");
        tuning.results[0].exceptions = vec![
            exception("q6_k", "matvec_subgroup"),
            exception("q8_0", "matvec_dot4"),
            exception("q4_k", "matvec_lanes"),
            exception("q2_k", "matvec_subgroup"),
        ];
        let mut choices = Choices::for_adapter(&GPU);
        choices.tune(&tuning);
        let selection = choices.selection();
        assert_eq!(selection.linear(1, DType::Q6_K), LinearPath::Matvec { subgroups: true, blocks: false });
        assert_eq!(selection.linear(1, DType::Q8_0), LinearPath::MatvecDot4 { subgroups: false });
        assert_eq!(selection.linear(1, DType::Q4_K).name(), "matvec", "what a GPU cannot run");
        assert_eq!(
            selection.linear(2, DType::Q6_K),
            Selection::for_adapter(&GPU).linear(2, DType::Q6_K),
            "another role"
        );
        assert!(selection.rounds_activations(&all()) && selection.rounds_activations(&BTreeSet::from([DType::Q8_0])));
        assert!(!selection.rounds_activations(&BTreeSet::from([DType::Q6_K, DType::F16])));
        let lines = selection.describe();
        assert_eq!(
            lines[..3],
            ["linear.decode: matvec", "linear.decode q8_0: matvec_dot4", "linear.decode q6_k: matvec_subgroup"]
        );
        let why = "linear.decode (1 token, q6_k weights): matvec_subgroup - tuned on 2026-11-22 for a model: matvec_subgroup 0.500 ms";
        assert!(choices.describe().iter().any(|line| line == why), "{:?}", choices.describe());
        choices.force(&"linear.decode=matmul32".parse().expect("a variant")).expect("runs anywhere");
        assert_eq!(choices.selection().linear(1, DType::Q6_K).name(), "matmul32", "what is forced is so for all types");
    }

    const EIGHT_LANES: AdapterFacts = AdapterFacts { kind: AdapterKind::Software, subgroup_sizes: (8, 8), ..GPU };

    fn linear(choices: &Choices) -> [&'static str; 4] {
        let selection = choices.selection();
        let kinds = Role::LINEAR.map(|role| selection.variant(role).loads_texels());
        assert_eq!(kinds, [selection.in_texels(); 4], "all or none");
        let exceptions = DType::ALL.map(|dtype| [1, 2, 20, 200].map(|m| selection.linear(m, dtype).loads_texels()));
        assert_eq!(exceptions, [kinds; DType::ALL.len()], "for all types");
        Role::LINEAR.map(|role| selection.variant(role).name())
    }

    #[test]
    fn weights_are_in_texels_for_the_kernels_of_all_roles_or_of_none() {
        let lanes = ["matvec_lanes", "matmul_lanes8", "matmul_lanes16", "matmul_lanes16"];
        let mut choices = Choices::for_adapter(&EIGHT_LANES);
        assert_eq!(linear(&choices), lanes);
        let deterministic = choices.selection().deterministic();
        assert!(deterministic.in_texels());
        assert_eq!(linear(&Choices::for_adapter(&GPU))[3], "matmul64");

        // Packed bytes of codes, which float types have none of.
        choices.force(&"linear.decode=matvec_dot4".parse().expect("a variant")).expect("packed dot products");
        assert_eq!(linear(&choices), ["matvec_dot4", "matvec_subgroup", "matmul32", "matmul64"]);
        assert_eq!(choices.selection().linear(1, DType::F16).name(), "matvec_subgroup");
        assert!(choices.selection().deterministic().in_texels());
        assert_eq!(
            choices.describe()[3],
            "linear.prefill (more tokens): matmul64 - since matvec_dot4 takes weights in buffers, default of other \
             software adapters: fewest barriers and loads an operation of the kernels that run anywhere"
        );
    }

    #[test]
    fn kernels_that_take_weights_elsewhere_are_not_named_together() {
        let forced = "linear.prefill=matmul64,linear.decode=matvec_lanes".parse().expect("variants");
        let error = Choices::for_adapter(&EIGHT_LANES).force(&forced).expect_err("two kinds");
        assert_eq!(
            error.to_string(),
            "matvec_lanes takes weights in textures and matmul64 in buffers, where the other cannot load them; name \
             kernels of one kind"
        );
        let forced = "attention=attention,linear.decode=matvec_lanes".parse().expect("variants");
        Choices::for_adapter(&EIGHT_LANES).force(&forced).expect("attention takes no weights");
    }

    #[test]
    fn a_tuning_of_kernels_that_take_weights_elsewhere_changes_all_roles() {
        let mut choices = Choices::for_adapter(&EIGHT_LANES);
        choices.tune(&tuning("matvec_lanes"));
        assert!(choices.selection().in_texels());
        let mut tuning = tuning("matvec");
        let measured = || vec![Measurement { variant: "matvec_lanes".to_owned(), milliseconds: 0.5 }];
        let exception =
            Exception { weights: "q6_k".to_owned(), chosen: "matvec_lanes".to_owned(), measured: measured() };
        tuning.results[0].exceptions = vec![exception];
        choices.tune(&tuning);
        assert_eq!(linear(&choices), ["matvec", "matvec_subgroup", "matmul32", "matmul64"]);
        choices.force(&"linear.short=matmul_lanes8".parse().expect("a variant")).expect("runs here");
        assert_eq!(linear(&choices), ["matvec_lanes", "matmul_lanes8", "matmul_lanes8", "matmul_lanes16"]);
    }

    #[test]
    fn floats_beside_codes_that_meet_rounded_activations_have_the_default_of_lanes() {
        let mut choices = Choices::for_adapter(&EIGHT_LANES);
        choices.tune(&tuning("matvec_lanes_q8"));
        assert_eq!(linear(&choices), ["matvec_lanes_q8", "matmul_lanes8", "matmul_lanes16", "matmul_lanes16"]);
        let selection = choices.selection();
        assert_eq!(selection.linear(1, DType::F16), LinearPath::MatvecLanes { rounded: false });
        assert!(selection.splits_norms(1, DType::F16, 576) && selection.splits_norms(1, DType::Q4_0, 576));
        assert!(selection.rounds_activations(&all()) && !selection.takes_q8(&all()));
        assert_eq!(selection.deterministic().linear(1, DType::Q4_0), LinearPath::MatvecLanes { rounded: false });
        let line = "linear.decode (1 token): matvec_lanes_q8 (rounds activations to 8 bits) - tuned on 2026-11-22";
        assert!(choices.describe()[0].starts_with(line), "{:?}", choices.describe());
    }

    #[test]
    fn what_the_adapter_cannot_run_is_refused_or_left_aside() {
        let mut choices = Choices::for_adapter(&GPU);
        choices.tune(&tuning("matvec_lanes"));
        choices.tune(&tuning("a kernel of another version"));
        assert_eq!(choices, Choices::for_adapter(&GPU));
        let error = choices.force(&"attention=attention_lanes".parse().expect("known")).expect_err("a GPU");
        assert_eq!(
            error.to_string(),
            "this device cannot run attention_lanes, which needs a software device with subgroups of 8 lanes, 64-bit \
             integers and storage textures; it can run attention"
        );
        assert!(matches!(error, ForcedError::Unmet { requirement: Requirement::EightLanes, .. }));
    }

    #[test]
    fn matrix_units_serve_subgroups_of_the_size_that_they_are_written_for() {
        let forced: Forced = "linear.prefill=matmul_coop16_128".parse().expect("known");
        let error = Choices::for_adapter(&GPU).force(&forced).expect_err("no matrix units").to_string();
        assert!(error.contains("needs cooperative matrices of 16 x 16 and subgroups of at most 32 lanes"), "{error}");
        let units = AdapterFacts { f16: true, matrices: [false, true], ..GPU };
        let mut choices = Choices::for_adapter(&units);
        choices.force(&forced).expect("it has them");
        assert!(choices.selection().multiplies_halves(&all()));
        assert!(!choices.selection().deterministic().multiplies_halves(&all()));
        let wide = AdapterFacts { subgroup_sizes: (32, 64), ..units };
        assert!(Choices::for_adapter(&wide).force(&forced).is_err());
        let forced = "linear.prefill=matmul_coop16_128_wide".parse().expect("known");
        Choices::for_adapter(&wide).force(&forced).expect("it is written for 64 lanes");
    }

    #[test]
    fn products_of_packed_bytes_leave_float_weights_to_the_default_and_are_none_themselves() {
        let mut choices = Choices::for_adapter(&GPU);
        assert!(!choices.selection().rounds_activations(&all()), "the default");
        let default = choices.selection().linear(1, DType::F16);
        choices.force(&"linear.decode=matvec_dot4_subgroup".parse().expect("a variant")).expect("subgroups");
        let selection = choices.selection();
        assert!(selection.rounds_activations(&all()));
        for dtype in DType::ALL {
            let expected = if dtype.block_len() > 1 { LinearPath::MatvecDot4 { subgroups: true } } else { default };
            assert_eq!(selection.linear(1, dtype), expected, "{dtype:?}");
        }
        assert!(choices.describe()[0].contains("matvec_dot4_subgroup (rounds activations to 8 bits) - forced"));
    }

    #[test]
    fn what_was_measured_or_forced_changes_no_deterministic_sum() {
        let mut choices = Choices::for_adapter(&GPU);
        let before = choices.selection().deterministic();
        for chosen in ["matmul32", "matvec_dot4"] {
            choices.tune(&tuning(chosen));
            assert_eq!(choices.selection().deterministic(), before);
        }
        assert!(choices.selection().rounds_activations(&all()) && !before.rounds_activations(&all()));
        assert_eq!(before.linear(1, DType::F32), LinearPath::Matvec { subgroups: false, blocks: true });
        assert_eq!(before.linear(1, DType::F32), before.linear(500, DType::Q4_0));
    }
}

//! The variants of a role that are timed, and which of them is chosen.

use std::collections::BTreeSet;

use super::Share;
use crate::bench::KernelRecord;
use crate::bench::cases::Group;
use crate::formats::DType;
use crate::kernels::weight_layout::shader_name;
use crate::kernels::{Exception, LinearPath, Measurement, Role, Selection, Tuned, Variant};

/// Another kernel than the default is chosen only if it takes less than this part of the default's time, and another than the
/// role's for weights of one type only if it takes less than this part of that one's: less is noise.
const WORTH_IT: f64 = 0.97;
/// A kernel that takes this many times as long as the fastest one is not measured any further.
const HOPELESS: f64 = 4.0;

/// Of the shortest sample, since what else the machine does can only add to one; `None` for a result that is wrong.
fn nanoseconds(record: &KernelRecord) -> Option<f64> {
    if record.fault.is_some() { None } else { record.device_min_ns.or(record.wall_min_ns) }
}

/// The variants of a role that are still worth measuring.
pub(super) struct Contest {
    default: Variant,
    running: Vec<Entrant>,
    given_up: Vec<Variant>,
}

/// A variant with the nanoseconds of its layers so far, by type of weights.
#[derive(Clone, Debug, PartialEq)]
struct Entrant {
    variant: Variant,
    times: Vec<(Option<DType>, f64)>,
}

impl Entrant {
    fn total(&self) -> f64 {
        self.times.iter().map(|(_, time)| time).sum()
    }

    fn of(&self, dtype: DType) -> f64 {
        self.times.iter().filter(|(weights, _)| *weights == Some(dtype)).map(|(_, time)| time).sum()
    }
}

impl Contest {
    pub fn new(default: Variant, variants: &[Variant]) -> Contest {
        let running = variants.iter().map(|variant| Entrant { variant: *variant, times: Vec::new() }).collect();
        Contest { default, running, given_up: Vec::new() }
    }

    /// The group with the cases alone of those that are still running; it has one for each of these variants, in their order.
    pub fn entrants(&self, variants: &[Variant], mut group: Group) -> Group {
        let mut entered = variants.iter().map(|variant| self.running.iter().any(|running| running.variant == *variant));
        group.variants.retain(|_| entered.next().unwrap_or(false));
        group
    }

    /// Adds the times of a group with these variants, and takes out what is wrong or hopeless.
    pub fn add(&mut self, variants: &[Variant], records: &[KernelRecord], shares: &[Share]) {
        let measured = self.running.iter_mut().filter(|entrant| variants.contains(&entrant.variant));
        for (entrant, record) in measured.zip(records) {
            let time = nanoseconds(record).unwrap_or(f64::INFINITY);
            entrant.times.extend(shares.iter().map(|share| (share.weights, share.count * time)));
        }
        let least = self.running.iter().map(Entrant::total).fold(f64::INFINITY, f64::min);
        let default = self.default;
        let hopeless = |entrant: &mut Entrant| {
            let total = entrant.total();
            total == f64::INFINITY || (total > HOPELESS * least && entrant.variant != default)
        };
        self.given_up.extend(self.running.extract_if(.., hopeless).map(|entrant| entrant.variant));
    }

    /// The time of the fastest that takes weights from texels, or of the fastest other, if any is still running.
    fn least(&self, texels: bool) -> Option<f64> {
        let times = self.running.iter().filter(|entrant| entrant.variant.loads_texels() == texels).map(Entrant::total);
        times.filter(|time| *time > 0.0).min_by(f64::total_cmp)
    }

    /// The fastest, or the default if it is about as fast; nothing if nothing was measured. Of these types of weights, those
    /// for which another one is faster are exceptions. All of them take weights from texels, or none does.
    pub fn decide(&self, role: Role, texels: bool, defaults: &Selection, types: &BTreeSet<DType>) -> Option<Tuned> {
        let is_possible = |entrant: &Entrant| entrant.variant.loads_texels() == texels;
        let of_kind = |possible: bool| {
            self.fastest(self.default, |entrant| if is_possible(entrant) == possible { entrant.total() } else { 0.0 })
        };
        let (chosen, mut measured) = of_kind(true)?;
        // Those that take weights from elsewhere stand behind, however fast they are.
        measured.extend(of_kind(false).into_iter().flat_map(|(_, others)| others));
        let exception = |dtype: DType| {
            let used = defaults.or_default(chosen.linear()?, role, dtype);
            let suits = |path: LinearPath| path.takes(dtype) && path.splits_norms_as(used);
            let time = |entrant: &Entrant| match is_possible(entrant) && entrant.variant.linear().is_some_and(suits) {
                true => entrant.of(dtype),
                false => 0.0,
            };
            let (own, measured) = self.fastest(Variant::Linear(used), time)?;
            let weights = shader_name(dtype).to_owned();
            (own != Variant::Linear(used)).then(|| Exception { weights, chosen: own.name().to_owned(), measured })
        };
        Some(Tuned {
            role,
            chosen: chosen.name().to_owned(),
            measured,
            exceptions: types.iter().copied().filter_map(exception).collect(),
            given_up: self.given_up.iter().map(|variant| variant.name().to_owned()).collect(),
        })
    }

    /// The fastest by this time, which is 0 for those that do not count, or this one if it is about as fast, and all with
    /// their times, the fastest first.
    fn fastest(&self, unless: Variant, time: impl Fn(&Entrant) -> f64) -> Option<(Variant, Vec<Measurement>)> {
        let timed = self.running.iter().map(|entrant| (entrant.variant, time(entrant)));
        let mut timed: Vec<(Variant, f64)> = timed.filter(|(_, time)| *time > 0.0).collect();
        timed.sort_by(|a, b| a.1.total_cmp(&b.1));
        let &(first, least) = timed.first()?;
        let other = timed.iter().find(|(variant, _)| *variant == unless).map(|(_, time)| *time);
        let fastest = if other.is_some_and(|time| least > WORTH_IT * time) { unless } else { first };
        let measurement = |(variant, time): (Variant, f64)| Measurement {
            variant: variant.name().to_owned(),
            milliseconds: time / 1e6,
        };
        Some((fastest, timed.into_iter().map(measurement).collect()))
    }
}

/// Whether weights are to lie in texels, given the contests of the roles of linear layers. Weights lie in one place for all
/// roles, which count alike: by how much the fastest kernels of one kind are faster than those of the other, multiplied. The
/// default's kind stays if the other is not worth it, or has no kernel for some role; and goes if that is so of itself alone.
pub(super) fn texels_win(contests: &[Contest]) -> bool {
    let stay = contests.iter().any(|contest| contest.default.loads_texels());
    let ratio = |contest: &Contest| Some(contest.least(!stay)? / contest.least(stay)?);
    let Some(ratios) = contests.iter().map(ratio).collect::<Option<Vec<f64>>>() else {
        let serves = |texels: bool| contests.iter().all(|contest| contest.least(texels).is_some());
        return if serves(!stay) { !stay } else { stay };
    };
    let mean = ratios.iter().product::<f64>().powf(1.0 / ratios.len().max(1) as f64);
    if mean < WORTH_IT { !stay } else { stay }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BASELINE, DOT4, MATVEC, SUBGROUP};
    use super::*;

    fn entrant(variant: Variant, time: f64) -> Entrant {
        Entrant { variant, times: vec![(Some(DType::Q4_0), time)] }
    }

    fn contest(times: &[(Variant, f64)]) -> Contest {
        let running = times.iter().map(|(variant, time)| entrant(*variant, *time)).collect();
        Contest { default: MATVEC, running, given_up: Vec::new() }
    }

    fn decide(contest: &Contest) -> Option<Tuned> {
        contest.decide(Role::LinearDecode, false, &BASELINE, &BTreeSet::from([DType::Q4_0, DType::F16, DType::Q6_K]))
    }

    fn totals(contest: &Contest) -> Vec<(Variant, f64)> {
        contest.running.iter().map(|entrant| (entrant.variant, entrant.total())).collect()
    }

    fn share(dtype: DType, count: f64) -> [Share; 1] {
        [Share { weights: Some(dtype), count }]
    }

    #[test]
    fn the_fastest_is_chosen_unless_the_default_is_about_as_fast() {
        let chosen = |matvec: f64, subgroup: f64| {
            let contest = contest(&[(MATVEC, matvec), (SUBGROUP, subgroup)]);
            decide(&contest).expect("measured").chosen
        };
        assert_eq!(chosen(2e6, 1e6), "matvec_subgroup");
        assert_eq!(chosen(2e6, 1.99e6), "matvec");
        assert_eq!(chosen(1e6, 2e6), "matvec");
        let without_default = decide(&contest(&[(SUBGROUP, 2.5e6)])).expect("measured");
        assert_eq!(without_default.chosen, "matvec_subgroup");
        assert_eq!(without_default.measured[0].milliseconds, 2.5);
        assert_eq!(decide(&contest(&[(MATVEC, 0.0)])), None, "nothing was measured");
    }

    #[test]
    fn weights_of_a_type_get_another_kernel_where_that_is_faster() {
        let times = |own: [f64; 2], all: [f64; 2]| {
            let mut contest = contest(&[(MATVEC, all[0]), (SUBGROUP, all[1])]);
            contest
                .running
                .iter_mut()
                .zip(own)
                .for_each(|(entrant, time)| entrant.times.push((Some(DType::Q6_K), time)));
            decide(&contest).expect("measured")
        };
        let tuned = times([1e6, 2e6], [9e6, 4e6]);
        let [Exception { weights, chosen, measured }] = &tuned.exceptions[..] else { panic!("{tuned:?}") };
        assert_eq!((tuned.chosen.as_str(), weights.as_str(), chosen.as_str()), ("matvec_subgroup", "q6_k", "matvec"));
        let times_of_type = |list: &[Measurement]| list.iter().map(|m| m.milliseconds).collect::<Vec<_>>();
        assert_eq!((times_of_type(measured), times_of_type(&tuned.measured)), (vec![1.0, 2.0], vec![6.0, 10.0]));
        assert_eq!(times([1.98e6, 2e6], [9e6, 4e6]).exceptions, [], "about as fast");
        assert_eq!(times([3e6, 2e6], [9e6, 4e6]).exceptions, []);
    }

    #[test]
    fn no_type_gets_a_kernel_that_does_not_take_it_or_takes_no_halves_of_norms() {
        let chosen = |dtype: DType, all: [f64; 3], own: [f64; 3]| {
            let mut contest = contest(&[(MATVEC, all[0]), (SUBGROUP, all[1]), (DOT4, all[2])]);
            contest.running.iter_mut().zip(own).for_each(|(entrant, time)| entrant.times.push((Some(dtype), time)));
            let Tuned { chosen, exceptions, .. } = decide(&contest).expect("measured");
            (chosen, exceptions.into_iter().map(|exception| exception.chosen).collect::<Vec<_>>())
        };
        let [matvec, dot4, subgroup] = ["matvec", "matvec_dot4", "matvec_subgroup"].map(str::to_owned);
        // Norms would be dispatches of their own in all layers.
        assert_eq!(chosen(DType::Q6_K, [4e6, 9e6, 9e6], [2e6, 3e6, 1e6]), (matvec.clone(), vec![]));
        assert_eq!(chosen(DType::Q6_K, [9e6, 9e6, 1e6], [2e6, 1e6, 5e6]), (dot4.clone(), vec![subgroup.clone()]));
        // Bytes are not multiplied with f16: what was measured is the default, again.
        assert_eq!(chosen(DType::F16, [9e6, 9e6, 1e6], [2e6, 3e6, 1e6]), (dot4.clone(), vec![]));
        assert_eq!(chosen(DType::F16, [9e6, 9e6, 1e6], [2e6, 1e6, 2e6]), (dot4, vec![subgroup]));
        // A head's type.
        assert_eq!(chosen(DType::Q8_0, [4e6, 9e6, 9e6], [2e6, 1e6, 3e6]), (matvec, vec![]));
    }

    #[test]
    fn what_is_wrong_or_hopeless_is_measured_no_further_but_the_default() {
        let record = |time: f64, fault: Option<&str>| KernelRecord {
            device_min_ns: Some(time),
            fault: fault.map(str::to_owned),
            ..KernelRecord::default()
        };
        let tiles = Variant::Linear(LinearPath::Matmul { tm: 4, tn: 4 });
        let mut contest = contest(&[(MATVEC, 0.0), (SUBGROUP, 0.0), (tiles, 0.0)]);
        let all = [MATVEC, SUBGROUP, tiles];
        contest.add(&all, &[record(1e6, None), record(1e5, None), record(5e5, None)], &share(DType::Q4_0, 2.0));
        assert_eq!(totals(&contest), [(MATVEC, 2e6), (SUBGROUP, 2e5)]);
        contest.add(&all, &[record(1e6, None), record(1e5, Some("off by one"))], &share(DType::Q8_0, 1.0));
        assert_eq!(totals(&contest), [(MATVEC, 3e6)]);
        assert_eq!(contest.given_up, [tiles, SUBGROUP]);
    }

    const LANES: Variant = Variant::Linear(LinearPath::MatvecLanes { rounded: false });

    fn lanes_and(default: Variant, times: &[(Variant, f64)]) -> Contest {
        Contest { default, ..contest(times) }
    }

    #[test]
    fn where_weights_lie_is_what_is_fastest_over_all_roles() {
        let wins = |default: Variant, lanes: [f64; 2], others: [f64; 2]| {
            let contests = [0, 1].map(|role| lanes_and(default, &[(LANES, lanes[role]), (MATVEC, others[role])]));
            texels_win(&contests)
        };
        assert!(wins(LANES, [1e6, 2e6], [3e6, 1e6]), "by 3 to 2");
        assert!(!wins(LANES, [2e6, 2e6], [3e6, 1e6]), "by 3 to 4");
        assert!(wins(MATVEC, [1e6, 2e6], [3e6, 1e6]));
        for default in [LANES, MATVEC] {
            assert_eq!(wins(default, [1e6, 2e6], [2e6, 1e6]), default == LANES, "as fast");
            assert_eq!(wins(default, [1e6, 2.02e6], [2e6, 1e6]), default == LANES, "about as fast");
            // The others are hopeless or wrong for one role, and faster for the other.
            let given_up = [lanes_and(default, &[(LANES, 2e6)]), lanes_and(default, &[(LANES, 1e6), (MATVEC, 5e5)])];
            assert!(texels_win(&given_up), "one kind alone for one role");
            let none = [lanes_and(default, &[(LANES, 2e6)]), lanes_and(default, &[(MATVEC, 9e5)])];
            assert_eq!(texels_win(&none), default == LANES, "neither kind serves");
        }
        assert!(!texels_win(&[]));
    }

    #[test]
    fn a_role_gets_the_fastest_of_those_that_take_weights_where_they_lie() {
        let contest = lanes_and(LANES, &[(LANES, 1e6), (MATVEC, 3e6), (SUBGROUP, 2e6)]);
        let decide = |texels| {
            let tuned = contest.decide(Role::LinearDecode, texels, &BASELINE, &BTreeSet::from([DType::Q4_0]));
            let Tuned { chosen, measured, exceptions, .. } = tuned.expect("measured");
            assert_eq!(exceptions, [], "the lanes are faster");
            (chosen, measured.into_iter().map(|m| m.variant).collect::<Vec<_>>())
        };
        let all = ["matvec_lanes", "matvec_subgroup", "matvec"].map(str::to_owned);
        assert_eq!(decide(true), (all[0].clone(), all.to_vec()));
        assert_eq!(decide(false), (all[1].clone(), [&all[1..], &all[..1]].concat()));
    }
}

//! Times every kernel on one adapter, beside what the adapter can do.
//!
//! The variants of a case are timed in turns, so that a change of the machine's speed meets all of them alike. What a model
//! reads once a step (weights, cached keys and values) lies in memory many times, and each dispatch reads the next copy:
//! caches are as cold as in a model. Activations stay where they are, in caches, as they do in a model. Kernels that work in
//! place run on their own output. Where instructions may bound what is read once, a part of it that caches hold is timed in
//! turns with the rest.

use std::time::Duration;

use super::cases::{Choice, Group, Impossible, groups};
use super::peaks::{self, Peaks};
use super::roofline::Roofs;
use super::sample::{self, Extent};
use super::sampling::Sampler;
use super::{BenchError, KernelRecord, Origin, Progress};
use crate::gpu::GpuExecutor;
use crate::recording::{ExecutionError, Executor, Slice};
use crate::reference::ReferenceExecutor;
use crate::verify::{Case, Elements, Outcome, Pool, Tensor, UNTOUCHED};

/// Bytes of copies of what is cold, if that many copies are allowed: more than any last-level cache of today.
const COLD_BYTES: u64 = 192 << 20;
const MOST_COPIES: u64 = 512;
/// Alignment of the copies.
const ALIGNMENT: u64 = 256;
/// Bytes that are handed over before the device is waited for.
const PIECE: u64 = 64 << 20;
/// Time of a sample, if a dispatch is shorter.
const TARGET: Duration = Duration::from_millis(20);
/// Work that takes longer than this even at the adapter's peak is left out: at a tenth of the peak, it takes seconds.
const LONGEST: f64 = 0.25;
/// Samples of one variant end early when they have taken this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    pub choice: Choice,
    /// Samples of each variant, at least one.
    pub rounds: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { choice: Choice::default(), rounds: 5 }
    }
}

/// The measurements of one adapter.
pub struct Measured {
    /// What the adapter can do.
    pub roofs: Roofs,
    /// The peaks first, then the kernels.
    pub records: Vec<KernelRecord>,
    /// What the choice names and was not measured.
    pub skipped: Vec<Impossible>,
    /// The error that ended the measurements early.
    pub aborted: Option<ExecutionError>,
}

/// Measures an adapter's peaks, then the kernels.
///
/// # Errors
/// When the peaks cannot be measured. A case that does not fit is skipped, and a device that is lost later ends the list.
pub fn measure(
    gpu: &mut GpuExecutor,
    settings: &Settings,
    on_case: &mut dyn FnMut(Progress<'_>),
) -> Result<Measured, BenchError> {
    let (groups, mut skipped) = groups(&settings.choice, &gpu.selection());
    on_case(Progress { done: 0, total: groups.len(), name: "peaks" });
    let mut pool = Pool::default();
    let Peaks { roofs, mut records } = peaks::measure(gpu, &mut pool)?;
    let mut bench = Bench { pool, ..Bench::new(gpu, roofs, settings.rounds) };
    let mut aborted = None;
    for (done, group) in groups.iter().enumerate() {
        on_case(Progress { done, total: groups.len(), name: &group.name });
        match bench.fits(group).and_then(|()| bench.group(group)) {
            Ok(measured) => records.extend(measured),
            Err(Obstacle::Reason(reason)) => skipped.push(Impossible { name: group.name.clone(), reason }),
            Err(Obstacle::Failure(error)) => {
                aborted = Some(error);
                break;
            }
        }
    }
    Ok(Measured { roofs, records, skipped, aborted })
}

/// Why a group was not measured.
pub(super) enum Obstacle {
    /// It does not suit the device.
    Reason(String),
    /// The device is of no more use.
    Failure(ExecutionError),
}

impl From<ExecutionError> for Obstacle {
    fn from(error: ExecutionError) -> Obstacle {
        match error {
            ExecutionError::BufferTooLarge { size, limit, .. } => too_large(size, limit),
            ExecutionError::OutOfMemory { size, .. } => {
                Obstacle::Reason(format!("the device has no {} MiB left", size >> 20))
            }
            other => Obstacle::Failure(other),
        }
    }
}

fn too_large(size: u64, limit: u64) -> Obstacle {
    Obstacle::Reason(format!("a tensor has {} MiB, and the device binds {}", size >> 20, limit >> 20))
}

/// Measures groups of cases on one device.
pub(super) struct Bench<'e> {
    gpu: &'e mut GpuExecutor,
    pool: Pool,
    reference: ReferenceExecutor,
    reference_pool: Pool,
    roofs: Roofs,
    rounds: usize,
}

/// A tensor on the device, in copies where it is cold.
#[derive(Clone)]
struct Placed {
    first: Slice,
    others: Vec<Slice>,
}

impl Placed {
    fn copy(&self, number: u64) -> Slice {
        match number as usize % (1 + self.others.len()) {
            0 => self.first,
            other => self.others[other - 1],
        }
    }
}

/// One variant, ready to be timed, and what its check came to.
struct Variant<'g> {
    case: &'g Case,
    sampler: Sampler,
    /// Of the part of the work that [a cache holds](super::cases::InCache).
    in_cache: Option<Sampler>,
    outcome: Outcome,
    compared: u64,
    elements: u64,
    /// Of a dispatch, about.
    takes: Duration,
}

impl<'e> Bench<'e> {
    pub fn new(gpu: &'e mut GpuExecutor, roofs: Roofs, rounds: usize) -> Bench<'e> {
        Bench {
            gpu,
            pool: Pool::default(),
            reference: ReferenceExecutor::new(),
            reference_pool: Pool::default(),
            roofs,
            rounds: rounds.max(1),
        }
    }

    /// Leaves out what the device cannot hold, or what takes too long.
    pub fn fits(&self, group: &Group) -> Result<(), Obstacle> {
        let limit = self.gpu.memory_limits().max_binding;
        if group.largest > limit {
            return Err(too_large(group.largest, limit));
        }
        let seconds = self.roofs.bound(&group.work).seconds;
        if seconds > LONGEST {
            let reason = format!("a dispatch takes {seconds:.1} s even at the adapter's peak");
            return Err(Obstacle::Reason(reason));
        }
        Ok(())
    }

    /// Checks every variant, then times them in turns.
    pub fn group(&mut self, group: &Group) -> Result<Vec<KernelRecord>, Obstacle> {
        self.pool.release();
        let mut uploaded: Vec<(Tensor, Placed)> = Vec::new();
        let mut variants = Vec::with_capacity(group.variants.len());
        let mut copies = 1;
        for (number, case) in group.variants.iter().enumerate() {
            let tensors = case.tensors();
            copies = copies_of(&tensors, group.cold);
            let placed = self.place(&tensors, group.cold, copies, &mut uploaded)?;
            let dispatch = |copy: u64| case.dispatch(&placed.iter().map(|p| p.copy(copy)).collect::<Vec<_>>());
            let mut sampler = Sampler::new(self.gpu, (0..copies).map(dispatch))?;
            sampler.run_first(self.gpu)?;
            let outcome = Outcome::default();
            let mut variant =
                Variant { case, sampler, in_cache: None, outcome, compared: 0, elements: 0, takes: Duration::ZERO };
            self.compare(group, &tensors, &placed, &mut variant)?;
            if let Some(part) = group.in_cache.as_ref().and_then(|in_cache| in_cache.variants.get(number)) {
                let placed = self.place(&part.tensors(), &[], 1, &mut uploaded)?;
                let slices: Vec<Slice> = placed.iter().map(|place| place.first).collect();
                variant.in_cache = Some(Sampler::new(self.gpu, std::iter::once(part.dispatch(&slices)))?);
            }
            variants.push(variant);
        }
        for variant in &mut variants {
            variant.takes = variant.sampler.calibrate(self.gpu, TARGET)?;
            if let Some(part) = &mut variant.in_cache {
                part.calibrate(self.gpu, TARGET)?;
            }
        }
        for round in 0..self.rounds {
            // Another one first in each round.
            let count = variants.len();
            for turn in 0..count {
                let variant = &mut variants[(round + turn) % count];
                let spent = variant.takes * (round * variant.sampler.per_sample) as u32;
                if spent < PATIENCE {
                    variant.sampler.sample(self.gpu)?;
                    if let Some(part) = &mut variant.in_cache {
                        part.sample(self.gpu)?;
                    }
                }
            }
        }
        let records = variants.iter().filter_map(|variant| self.record(group, variant, copies)).collect();
        for Variant { sampler, in_cache, .. } in variants {
            std::iter::once(sampler).chain(in_cache).for_each(|sampler| sampler.discard(self.gpu));
        }
        self.gpu.forget_bind_groups();
        Ok(records)
    }

    /// Puts tensors on the device; one that an earlier variant has brought already is used again.
    fn place(
        &mut self,
        tensors: &[Tensor],
        cold: &[&str],
        copies: u64,
        uploaded: &mut Vec<(Tensor, Placed)>,
    ) -> Result<Vec<Placed>, ExecutionError> {
        let mut placed = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let unused = |place: &Placed| placed.iter().all(|other: &Placed| other.first.buffer != place.first.buffer);
            let same = uploaded.iter().find(|(known, place)| {
                known.name == tensor.name
                    && known.words == tensor.words
                    && known.output == tensor.output
                    && known.texel == tensor.texel
                    && unused(place)
            });
            let place = match same {
                Some((_, place)) => place.clone(),
                None => {
                    let copies = if cold.contains(&tensor.name) { copies } else { 1 };
                    let place = self.upload(tensor, copies)?;
                    uploaded.push((tensor.clone(), place.clone()));
                    place
                }
            };
            placed.push(place);
        }
        Ok(placed)
    }

    fn upload(&mut self, tensor: &Tensor, copies: u64) -> Result<Placed, ExecutionError> {
        let size = 4 * tensor.words.len() as u64;
        let mut slices = Vec::new();
        match tensor.texel {
            Some(_) => {
                for _ in 0..copies {
                    slices.push(Slice { buffer: self.pool.take(self.gpu, size, tensor.texel)?, offset: 0, size });
                }
            }
            None => {
                let stride = size.next_multiple_of(ALIGNMENT);
                let copies = copies.min(self.gpu.memory_limits().max_buffer / stride).max(1);
                let buffer = self.pool.take(self.gpu, copies * stride, None)?;
                slices.extend((0..copies).map(|copy| Slice { buffer, offset: copy * stride, size }));
            }
        }
        let mut waiting = 0;
        for slice in &slices {
            self.gpu.write(*slice, bytemuck::cast_slice(&tensor.words))?;
            waiting += size;
            if waiting > PIECE {
                self.gpu.flush()?;
                waiting = 0;
            }
        }
        self.gpu.flush()?;
        let first = slices.remove(0);
        Ok(Placed { first, others: slices })
    }

    /// Runs a variant once on fresh outputs, and compares with the reference: in part where all of it would take long and parts
    /// can be had.
    fn compare(
        &mut self,
        group: &Group,
        tensors: &[Tensor],
        placed: &[Placed],
        variant: &mut Variant<'_>,
    ) -> Result<(), ExecutionError> {
        let outputs = || tensors.iter().zip(placed).filter(|(tensor, _)| tensor.output.is_some());
        for (tensor, place) in outputs() {
            self.gpu.write(place.first, bytemuck::cast_slice(&tensor.words))?;
        }
        variant.sampler.run_first(self.gpu)?;

        let slices = self.in_reference(tensors)?;
        let dispatch = variant.case.dispatch(&slices);
        let extent = sample::run(&mut self.reference, &dispatch, group.work.flops)?;

        for (i, tensor) in tensors.iter().enumerate() {
            let Some(elements) = tensor.output else { continue };
            let mut actual = tensor.words.clone();
            let mut expected = tensor.words.clone();
            self.gpu.read(placed[i].first, bytemuck::cast_slice_mut(&mut actual))?;
            self.reference.read(slices[i], bytemuck::cast_slice_mut(&mut expected))?;
            let a_word = if elements == Elements::F16 { 2 } else { 1 };
            variant.elements += a_word * expected.len() as u64;
            if extent == Extent::Part {
                // What the reference left alone is not compared.
                let mut made = expected.iter().map(|word| *word != UNTOUCHED);
                actual.retain(|_| made.next().unwrap_or(false));
                expected.retain(|word| *word != UNTOUCHED);
            }
            variant.compared += a_word * expected.len() as u64;
            let tolerance = variant.case.tolerance_of(elements);
            variant.outcome.compare(tensor.name, elements, &actual, &expected, tolerance);
        }
        Ok(())
    }

    fn in_reference(&mut self, tensors: &[Tensor]) -> Result<Vec<Slice>, ExecutionError> {
        self.reference_pool.release();
        let mut slices = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let size = 4 * tensor.words.len() as u64;
            let buffer = self.reference_pool.take(&mut self.reference, size, tensor.texel)?;
            let slice = Slice { buffer, offset: 0, size };
            self.reference.write(slice, bytemuck::cast_slice(&tensor.words))?;
            slices.push(slice);
        }
        Ok(slices)
    }

    /// Nanoseconds of the group's work, were a variant as fast in all of it as in what a cache holds.
    fn in_cache(&self, group: &Group, variant: &Variant<'_>) -> Option<f64> {
        let (device, wall) = variant.in_cache.as_ref()?.stats();
        let share = group.in_cache.as_ref()?.share;
        Some(throughout(device.or(wall)?.min, share, 1e9 * self.roofs.dispatch))
    }

    /// `None` without a sample, which does not happen.
    fn record(&self, group: &Group, variant: &Variant<'_>, copies: u64) -> Option<KernelRecord> {
        let (device, wall) = variant.sampler.stats();
        let wall = wall?;
        let nanoseconds = device.unwrap_or(wall).median;
        let work = &group.work;
        let bound = self.roofs.bound(work);
        let Variant { case, sampler, outcome, compared, elements, .. } = variant;
        let faults: Vec<String> = outcome.faults.iter().map(ToString::to_string).collect();
        let caches = match group.cold {
            [] => "caches warm".to_owned(),
            cold => format!("{copies} copies of {} in turns", cold.join(" and ")),
        };
        Some(
            KernelRecord {
                name: group.name.clone(),
                kernel: case.program.kernel.to_owned(),
                variant: case.program.variant.to_owned(),
                program: case.program.to_string(),
                shape: case.shape.clone(),
                settings: format!(
                    "{} rounds, {} variants in turns, {} dispatches a sample, {caches}",
                    self.rounds,
                    group.variants.len(),
                    sampler.per_sample
                ),
                flops: Some(work.flops),
                bytes: Some(work.bytes()),
                gflops: Some(work.flops as f64 / nanoseconds),
                gbps: Some(work.bytes() as f64 / nanoseconds),
                intensity: Some(work.intensity()),
                bound: Some(bound.name),
                bound_peak: Some(bound.peak),
                percent_of_bound: Some(100.0 * bound.seconds * 1e9 / nanoseconds),
                percent_of_inner_loop: self.in_cache(group, variant).map(|least| 100.0 * least / nanoseconds),
                nmse: Some(outcome.nmse),
                max_error: Some(outcome.max_error),
                compared: Some(*compared),
                elements: Some(*elements),
                fault: (!faults.is_empty()).then(|| faults.join("; ")),
                origin: Origin::of_device("kernels", self.gpu.info()),
                ..KernelRecord::default()
            }
            .timed(device.as_ref(), &wall),
        )
    }
}

/// The time of a dispatch's work of which a share takes so long: what any dispatch costs does not grow with it.
fn throughout(time: f64, share: f64, dispatch: f64) -> f64 {
    (time - dispatch).max(0.0) / share + dispatch
}

/// How often what is cold must lie in memory.
fn copies_of(tensors: &[Tensor], cold: &[&str]) -> u64 {
    let bytes = |tensor: &Tensor| (4 * tensor.words.len() as u64).next_multiple_of(ALIGNMENT);
    let all: u64 = tensors.iter().filter(|tensor| cold.contains(&tensor.name)).map(bytes).sum();
    if all == 0 { 1 } else { COLD_BYTES.div_ceil(all).min(MOST_COPIES) }
}

#[cfg(test)]
mod tests {
    use super::throughout;

    #[test]
    fn what_a_dispatch_costs_does_not_grow_with_its_work() {
        assert_eq!(throughout(105.0, 0.25, 5.0), 405.0);
        assert_eq!(throughout(4.0, 0.25, 5.0), 5.0);
    }
}

//! Measures what an adapter can do at most: arithmetic, memory, and the cost of asking for anything.

use std::time::{Duration, Instant};

use super::probes;
use super::roofline::Roofs;
use super::sampling::Sampler;
use super::{BenchError, KernelRecord, Origin, Stats};
use crate::gpu::GpuExecutor;
use crate::recording::{Dispatch, ExecutionError, Executor, Label, Recording, Slice};
use crate::verify::Pool;

const SAMPLES: usize = 7;
/// So that starting and ending a thread is next to nothing.
const FEWEST_TURNS: u32 = 16;
const TARGET: Duration = Duration::from_millis(20);
/// An arithmetic probe runs at least so long, or as many turns as it can.
const LONG_ENOUGH: Duration = Duration::from_millis(4);
/// Bytes of each of the two buffers of the memory probes; together, they exceed the caches.
const MEMORY: u64 = 512 << 20;
const MEMORY_OF_SOFTWARE: u64 = 128 << 20;
/// Bytes that are handed over at a time.
const PIECE: usize = 32 << 20;
const ROUND_TRIPS: usize = 50;

/// An adapter's peaks.
pub struct Peaks {
    pub roofs: Roofs,
    /// One for each probe.
    pub records: Vec<KernelRecord>,
}

/// Measures them all. The probes' results are checked, so that no compiler can have left anything out.
///
/// # Errors
/// When the device fails or computes something wrong.
pub fn measure(gpu: &mut GpuExecutor, pool: &mut Pool) -> Result<Peaks, BenchError> {
    let mut probing = Probing { gpu, pool, records: Vec::new() };
    let flops = probing.arithmetic("fma_f32", probes::fma_f32, probes::fma_f32_sum)?;
    if probing.gpu.computes_in_f16() {
        probing.arithmetic("fma_f16", probes::fma_f16, probes::fma_f16_sum)?;
    }
    probing.arithmetic("dot4_i8", probes::dot4_i8, probes::dot4_i8_sum)?;
    let (read, copy) = probing.memory()?;
    let dispatch = probing.dispatch()?;
    probing.round_trip()?;
    Ok(Peaks { roofs: Roofs { flops, read, copy, dispatch }, records: probing.records })
}

struct Probing<'a> {
    gpu: &'a mut GpuExecutor,
    pool: &'a mut Pool,
    records: Vec<KernelRecord>,
}

/// What a probe moves and computes in a dispatch.
#[derive(Clone, Copy, Default)]
struct Amount {
    operations: u64,
    bytes: u64,
}

impl Probing<'_> {
    /// Operations a second of a probe that runs some turns.
    fn arithmetic(
        &mut self,
        name: &'static str,
        dispatch: fn(Slice, u32) -> Dispatch,
        expected: fn(u32, u32) -> u32,
    ) -> Result<f64, BenchError> {
        self.pool.release();
        let sums = self.slice(4 * u64::from(probes::THREADS))?;
        let mut turns = FEWEST_TURNS;
        let mut sampler = Sampler::new(self.gpu, std::iter::once(dispatch(sums, turns)))?;
        sampler.run_first(self.gpu)?;
        while sampler.calibrate(self.gpu, Duration::ZERO)? < LONG_ENOUGH && turns < probes::MOST_TURNS {
            turns *= 4;
            let longer = Sampler::new(self.gpu, std::iter::once(dispatch(sums, turns)))?;
            std::mem::replace(&mut sampler, longer).discard(self.gpu);
        }
        let operations = probes::OPERATIONS * u64::from(probes::THREADS) * u64::from(turns);
        let seconds = self.sample(name, &mut sampler, Amount { operations, bytes: 0 })?;
        sampler.discard(self.gpu);
        self.check(name, sums, [0, 1, 2, 17, probes::THREADS - 1], |thread| expected(thread, turns))?;
        Ok(operations as f64 / seconds)
    }

    /// Bytes a second read, and read and written.
    fn memory(&mut self) -> Result<(f64, f64), BenchError> {
        self.pool.release();
        let wanted = if self.gpu.info().is_software() { MEMORY_OF_SOFTWARE } else { MEMORY };
        let size = wanted.min(self.gpu.memory_limits().max_binding) / probes::GRANULE * probes::GRANULE;
        let threads = probes::read_threads(size);
        let buffers = [self.slice(size)?, self.slice(size)?];
        let sums = self.slice(4 * u64::from(threads))?;
        for (seed, buffer) in (0..).zip(buffers) {
            self.fill(buffer, seed)?;
        }

        let mut sampler = Sampler::new(self.gpu, buffers.into_iter().map(|buffer| probes::read(buffer, sums)))?;
        sampler.run_first(self.gpu)?;
        // The first copy alone, so that it is known what was summed up last.
        let expected = |thread| probes::read_sum(thread, size, |word| pattern(word, 0));
        self.check("read", sums, [0, 1, threads / 2, threads - 1], expected)?;
        sampler.calibrate(self.gpu, TARGET)?;
        let bytes = size + 4 * u64::from(threads);
        let read = self.sample("read", &mut sampler, Amount { operations: 0, bytes })?;
        sampler.discard(self.gpu);

        let mut sampler = Sampler::new(self.gpu, std::iter::once(probes::copy(buffers[0], buffers[1])))?;
        sampler.run_first(self.gpu)?;
        sampler.calibrate(self.gpu, TARGET)?;
        let copy = self.sample("copy", &mut sampler, Amount { operations: 0, bytes: 2 * size })?;
        sampler.discard(self.gpu);
        let last = (size / 4 - 1) as u32;
        self.check("copy", buffers[1], [0, 1, last / 2, last], |word| pattern(u64::from(word), 0))?;
        Ok((bytes as f64 / read, 2.0 * size as f64 / copy))
    }

    /// Seconds of a dispatch that waits for the one before.
    fn dispatch(&mut self) -> Result<f64, BenchError> {
        self.pool.release();
        let word = self.slice(4)?;
        self.gpu.write(word, &[0; 4])?;
        let mut sampler = Sampler::new(self.gpu, std::iter::once(probes::count(word)))?;
        sampler.run_first(self.gpu)?;
        sampler.calibrate(self.gpu, TARGET)?;
        let seconds = self.sample("dispatch", &mut sampler, Amount::default())?;
        let ran = sampler.ran as u32;
        sampler.discard(self.gpu);
        self.check("dispatch", word, [0], |_| ran)?;
        Ok(seconds)
    }

    /// A submit with one small dispatch, and reading back what it made.
    fn round_trip(&mut self) -> Result<(), BenchError> {
        const NAME: &str = "submit + readback";
        self.pool.release();
        let word = self.slice(4)?;
        self.gpu.write(word, &[0; 4])?;
        let mut recording = Recording::default();
        recording.push(Label { layer: None, what: "a round trip" }, probes::count(word));
        let prepared = self.gpu.prepare(&recording)?;
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        let mut count = [0; 4];
        for _ in 0..ROUND_TRIPS {
            let started = Instant::now();
            self.gpu.run(prepared)?;
            self.gpu.read(word, &mut count)?;
            times.push(started.elapsed().as_secs_f64() * 1e9);
        }
        self.gpu.discard(prepared);
        if u32::from_le_bytes(count) != ROUND_TRIPS as u32 {
            return Err(BenchError::Wrong { probe: NAME, device: self.gpu.info().name.clone() });
        }
        if let Some(wall) = Stats::of(&times) {
            let record = self.record(NAME, "count", Amount::default()).timed(None, &wall);
            self.records.push(KernelRecord { settings: format!("{ROUND_TRIPS} round trips"), ..record });
        }
        Ok(())
    }

    /// Takes the samples, keeps the record, and returns the least seconds of a dispatch.
    fn sample(&mut self, name: &'static str, sampler: &mut Sampler, amount: Amount) -> Result<f64, BenchError> {
        for _ in 0..SAMPLES {
            sampler.sample(self.gpu)?;
        }
        let (device, wall) = sampler.stats();
        let Some(wall) = wall else { return Err(BenchError::NoTime { probe: name }) };
        let nanoseconds = device.unwrap_or(wall).min;
        if nanoseconds <= 0.0 {
            return Err(BenchError::NoTime { probe: name });
        }
        let kernel = if name == "dispatch" { "count" } else { name };
        let mut record = self.record(name, kernel, amount).timed(device.as_ref(), &wall);
        record.settings = format!("{} dispatches a sample; rates follow from the least time", sampler.per_sample);
        record.gflops = (amount.operations > 0).then(|| amount.operations as f64 / nanoseconds);
        record.gbps = (amount.bytes > 0).then(|| amount.bytes as f64 / nanoseconds);
        self.records.push(record);
        Ok(nanoseconds / 1e9)
    }

    fn record(&self, name: &str, kernel: &str, amount: Amount) -> KernelRecord {
        KernelRecord {
            name: format!("peak {name}"),
            kernel: kernel.to_owned(),
            variant: "probe".to_owned(),
            program: format!("bench/{kernel}/probe"),
            shape: format!("{} operations, {} bytes", amount.operations, amount.bytes),
            flops: (amount.operations > 0).then_some(amount.operations),
            bytes: (amount.bytes > 0).then_some(amount.bytes),
            origin: Origin::of_device("peaks", self.gpu.info()),
            ..KernelRecord::default()
        }
    }

    fn slice(&mut self, size: u64) -> Result<Slice, ExecutionError> {
        Ok(Slice { buffer: self.pool.take(self.gpu, size, None)?, offset: 0, size })
    }

    /// Fills a slice with a pattern.
    fn fill(&mut self, slice: Slice, seed: u32) -> Result<(), ExecutionError> {
        for start in (0..slice.size).step_by(PIECE) {
            let size = (slice.size - start).min(PIECE as u64);
            let words: Vec<u32> = (start / 4..(start + size) / 4).map(|word| pattern(word, seed)).collect();
            self.gpu.write(Slice { offset: slice.offset + start, size, ..slice }, bytemuck::cast_slice(&words))?;
            self.gpu.flush()?;
        }
        Ok(())
    }

    /// Compares some words of a slice with what they must be.
    fn check<const N: usize>(
        &mut self,
        probe: &'static str,
        slice: Slice,
        places: [u32; N],
        expected: impl Fn(u32) -> u32,
    ) -> Result<(), BenchError> {
        for place in places {
            let at = Slice { offset: slice.offset + 4 * u64::from(place), size: 4, ..slice };
            let mut word = [0; 4];
            self.gpu.read(at, &mut word)?;
            if u32::from_le_bytes(word) != expected(place) {
                return Err(BenchError::Wrong { probe, device: self.gpu.info().name.clone() });
            }
        }
        Ok(())
    }
}

/// Words that tell their places: multiples of Knuth's 2^32 / golden ratio.
fn pattern(word: u64, seed: u32) -> u32 {
    (word as u32).wrapping_add(seed).wrapping_mul(2_654_435_761)
}

//! The probes of `shaders/bench`: their dispatches, their work, and what they must compute.

use bytemuck::{Pod, Zeroable};

use crate::kernels::fold;
use crate::recording::{Dispatch, Program, Slice};

/// Threads of a workgroup.
const WG: u32 = 64;
/// Threads of the arithmetic probes: enough to fill a large GPU.
pub const THREADS: u32 = 1 << 18;
/// Operations of a thread of any arithmetic probe in a turn: 64 fused multiply-adds of vectors of four, or 64 dot products
/// of four.
pub const OPERATIONS: u64 = 512;
/// The most turns: up to there the sums of `fma_f32` are exact.
pub const MOST_TURNS: u32 = 1 << 14;
/// Vectors that a thread of the read probe sums up.
const READS: u32 = 16;
/// Bytes that buffers of the memory probes are multiples of.
pub const GRANULE: u64 = 16 * READS as u64 * WG as u64;
/// The packed bytes 3, -5, 7 and -2.
const WEIGHTS: u32 = u32::from_le_bytes([3, 251, 7, 254]);

/// Mirrors `Params` of `shaders/bench/fma.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FmaParams {
    turns: u32,
    factor: f32,
    term: f32,
}

/// Fused multiply-adds; an f32 a thread goes to `sums`.
pub fn fma_f32(sums: Slice, turns: u32) -> Dispatch {
    fma(false, sums, turns)
}

/// The same in f16, for a device that computes in it; the sums are f32.
pub fn fma_f16(sums: Slice, turns: u32) -> Dispatch {
    fma(true, sums, turns)
}

fn fma(f16: bool, sums: Slice, turns: u32) -> Dispatch {
    let program = Program::new("bench/fma", "probe").constant("WG", WG).flag("f16", f16);
    let params = FmaParams { turns, factor: 1.0, term: 1.0 };
    Dispatch::new(program, &params, [THREADS / WG, 1, 1]).read_write(0, sums)
}

/// What a thread of `fma_f32` leaves: 8 vectors of four that start at small numbers and grow by 1 in each of 8 steps a turn.
pub fn fma_f32_sum(thread: u32, turns: u32) -> u32 {
    let start = 32 * (thread % 16) + 8 * (1 + 2 + 3) + 4 * (1 + 2 + 3 + 4 + 5 + 6 + 7);
    ((start + 32 * 8 * turns) as f32).to_bits()
}

/// What a thread of `fma_f16` leaves: the same, but in f16 adding 1 to 2048 gives 2048.
pub fn fma_f16_sum(thread: u32, turns: u32) -> u32 {
    let starts = (0..8).flat_map(|vector| (0..4).map(move |element| thread % 16 + vector + element));
    let sum: u32 = starts.map(|start| (start + 8 * turns).min(2048)).sum();
    (sum as f32).to_bits()
}

/// Dot products of packed bytes; a word a thread goes to `sums`.
pub fn dot4_i8(sums: Slice, turns: u32) -> Dispatch {
    let program = Program::new("bench/dot4_i8", "probe").constant("WG", WG);
    Dispatch::new(program, &[turns, WEIGHTS], [THREADS / WG, 1, 1]).read_write(0, sums)
}

/// What a thread of `dot4_i8` leaves.
pub fn dot4_i8_sum(thread: u32, turns: u32) -> u32 {
    let dot = |a: u32| -> i32 {
        let (a, w) = (a.to_le_bytes(), WEIGHTS.to_le_bytes());
        a.iter().zip(w).map(|(a, w)| i32::from(*a as i8) * i32::from(w as i8)).sum()
    };
    let first = thread.wrapping_mul(2_654_435_761);
    let chain = |i: u32| (0..4 * turns).fold(first.wrapping_add(i), |sum, _| sum.wrapping_add_signed(dot(sum)));
    (0..16).map(chain).fold(0, |all, sum| all ^ sum)
}

/// Reads `data`, a multiple of [`GRANULE`], and leaves a word a thread in `sums`.
pub fn read(data: Slice, sums: Slice) -> Dispatch {
    let program = Program::new("bench/read", "probe").constant("WG", WG).constant("READS", READS);
    let threads = read_threads(data.size);
    Dispatch::new(program, &[threads], fold(threads / WG)).read(0, data).read_write(1, sums)
}

/// Threads that read so many bytes, and words that they leave.
pub fn read_threads(bytes: u64) -> u32 {
    (bytes / (16 * u64::from(READS))) as u32
}

/// What a thread of `read` leaves, of words that `word` gives by their number.
pub fn read_sum(thread: u32, bytes: u64, word: impl Fn(u64) -> u32) -> u32 {
    let vectors = (0..u64::from(READS)).map(|i| u64::from(thread) + i * u64::from(read_threads(bytes)));
    vectors.flat_map(|vector| 4 * vector..4 * vector + 4).map(word).fold(0, u32::wrapping_add)
}

/// Copies a slice to another of the same size, a multiple of [`GRANULE`].
pub fn copy(source: Slice, destination: Slice) -> Dispatch {
    let program = Program::new("bench/copy", "probe").constant("WG", WG);
    let count4 = (source.size / 16) as u32;
    Dispatch::new(program, &[count4], fold(count4 / WG)).read(0, source).read_write(1, destination)
}

/// Adds 1 to a word.
pub fn count(word: Slice) -> Dispatch {
    Dispatch::new(Program::new("bench/count", "probe"), &[1u32], [1, 1, 1]).read_write(0, word)
}

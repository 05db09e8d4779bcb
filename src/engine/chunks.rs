//! How large prefill chunks are, by how long they take: drivers end what runs for seconds, and a fast device wants large ones.

use super::capacity::MIN_CHUNK;

/// How many times what a submit may take the largest dispatch of a chunk may take, before chunks halve.
const TOO_LONG: f64 = 2.0;
/// Below this share of it, twice as large a chunk is far from too long.
const SHORT: f64 = 0.25;
/// So many chunks one after the other: a single reading may be the fault of something else.
const READINGS: u32 = 2;

/// Follows the chunks of a device that may be slower than most of its kind, or busy for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    /// What there is room for.
    most: usize,
    long: u32,
    short: u32,
}

impl Chunks {
    pub fn new(most: usize) -> Chunks {
        Chunks { most, long: 0, short: 0 }
    }

    /// Takes in that the largest dispatch of a step of `tokens` took `load` times what a submit may take, while chunks were
    /// of `size`; gives the size of those to come. Smaller steps, as those of decode, say nothing of whole chunks, and a much
    /// larger one was under way when chunks halved.
    pub fn learn(&mut self, size: usize, tokens: usize, load: f64) -> usize {
        if tokens < size {
            return size;
        }
        let load = if tokens < 2 * size { load } else { load * size as f64 / tokens as f64 };
        self.long = if load > TOO_LONG { self.long + 1 } else { 0 };
        self.short = if load < SHORT { self.short + 1 } else { 0 };
        let smallest = (MIN_CHUNK as usize).min(size);
        let changed = match (self.long >= READINGS, self.short >= READINGS) {
            (true, _) => (size / 2).max(smallest),
            (_, true) => (size * 2).min(self.most),
            _ => return size,
        };
        (self.long, self.short) = (0, 0);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that follow from whole chunks with these loads.
    fn sizes(chunks: &mut Chunks, mut size: usize, loads: &[f64]) -> Vec<usize> {
        let next = |load: &f64| {
            size = chunks.learn(size, size, *load);
            size
        };
        loads.iter().map(next).collect()
    }

    #[test]
    fn chunks_halve_when_two_take_too_long_and_no_further_than_kernels_can_use() {
        let mut chunks = Chunks::new(128);
        assert_eq!(
            sizes(&mut chunks, 128, &[2.5, 1.9, 2.5, 2.5, 9.0, 9.0, 9.0, 9.0]),
            [128, 128, 128, 64, 64, 32, 32, 32]
        );
        // A device that has room for less.
        assert_eq!(sizes(&mut Chunks::new(8), 8, &[9.0; 4]), [8; 4]);
    }

    #[test]
    fn chunks_grow_again_when_two_are_short_and_no_further_than_there_is_room() {
        let mut chunks = Chunks::new(100);
        assert_eq!(
            sizes(&mut chunks, 32, &[0.1, 0.3, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1]),
            [32, 32, 32, 64, 64, 100, 100, 100]
        );
    }

    /// What halved because it took too long takes as much as it may when it is half: it must not grow at once.
    #[test]
    fn a_size_that_has_shrunk_is_kept_on_the_device_that_made_it_shrink() {
        let mut chunks = Chunks::new(512);
        let mut size = 512;
        for _ in 0..20 {
            size = chunks.learn(size, size, 2.1 * size as f64 / 512.0);
        }
        assert_eq!(size, 256);
    }

    #[test]
    fn what_was_under_way_when_chunks_halved_does_not_halve_them_again() {
        let mut chunks = Chunks::new(512);
        let halved = [2.5, 2.5].map(|load| chunks.learn(512, 512, load));
        assert_eq!(halved, [512, 256]);
        assert_eq!([2.5, 2.5].map(|load| chunks.learn(256, 512, load)), [256, 256]);
        assert_eq!([5.0, 5.0].map(|load| chunks.learn(256, 512, load)), [256, 128]);
    }

    #[test]
    fn steps_smaller_than_a_chunk_say_nothing() {
        let mut chunks = Chunks::new(512);
        for load in [9.0, 9.0, 9.0, 0.01, 0.01, 0.01] {
            assert_eq!(chunks.learn(256, 1, load), 256);
            assert_eq!(chunks.learn(256, 255, load), 256);
        }
        // A chunk with other sequences' tokens is a whole one.
        assert_eq!([chunks.learn(256, 259, 9.0), chunks.learn(256, 259, 9.0)], [256, 128]);
    }
}

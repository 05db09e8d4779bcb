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
    size: usize,
    /// What there is room for.
    most: usize,
    sequences: usize,
    /// Steps one after the other that took too long, and whole chunks that were short.
    long: u32,
    short: u32,
}

impl Chunks {
    /// Of `most` tokens, for so many sequences at a time.
    pub fn new(most: usize, sequences: usize) -> Chunks {
        Chunks { size: most, most, sequences, long: 0, short: 0 }
    }

    /// Tokens of a step: a chunk, and a token of each other sequence.
    pub fn step_tokens(&self) -> usize {
        self.size + self.sequences - 1
    }

    /// Takes in that the largest dispatch of a step with (part of) a prompt, of `tokens` in all, took `load` times what a
    /// submit may take. Gives the size of the chunks to come if it changes.
    pub fn learn(&mut self, tokens: usize, load: f64) -> Option<usize> {
        // One that was under way when chunks became smaller.
        if tokens > self.step_tokens() {
            return None;
        }
        if load > TOO_LONG {
            (self.long, self.short) = (self.long + 1, 0);
        } else if tokens >= self.size {
            // Smaller steps can be too long, but nothing follows from it if they are not.
            (self.long, self.short) = (0, if load < SHORT { self.short + 1 } else { 0 });
        }
        let size = if self.long >= READINGS {
            (self.size / 2).max(self.size.min(MIN_CHUNK as usize))
        } else if self.short >= READINGS {
            (self.size * 2).min(self.most)
        } else {
            return None;
        };
        (self.long, self.short) = (0, 0);
        (std::mem::replace(&mut self.size, size) != size).then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that follow from whole chunks with these loads.
    fn sizes(chunks: &mut Chunks, loads: &[f64]) -> Vec<usize> {
        let next = |load: &f64| {
            chunks.learn(chunks.size, *load);
            chunks.size
        };
        loads.iter().map(next).collect()
    }

    #[test]
    fn chunks_halve_when_two_take_too_long_and_no_further_than_kernels_can_use() {
        let sizes_of_128 = sizes(&mut Chunks::new(128, 1), &[2.5, 1.9, 2.5, 2.5, 9.0, 9.0, 9.0, 9.0]);
        assert_eq!(sizes_of_128, [128, 128, 128, 64, 64, 32, 32, 32]);
        // A device that has room for less.
        assert_eq!(sizes(&mut Chunks::new(8, 1), &[9.0; 4]), [8; 4]);
    }

    #[test]
    fn chunks_grow_again_when_two_are_short_and_no_further_than_there_is_room() {
        let mut chunks = Chunks::new(100, 1);
        assert_eq!(sizes(&mut chunks, &[9.0; 4]), [100, 50, 50, 32]);
        assert_eq!(sizes(&mut chunks, &[0.1, 0.3, 0.1, 0.2, 0.1, 0.1, 0.1]), [32, 32, 32, 64, 64, 100, 100]);
        assert_eq!([0.1, 0.1].map(|load| chunks.learn(100, load)), [None, None], "nothing changes");
    }

    /// What halved because it took too long takes about as much as it may when it is half: it must not grow at once.
    #[test]
    fn a_size_that_has_shrunk_is_kept_on_the_device_that_made_it_shrink() {
        let mut chunks = Chunks::new(512, 1);
        for _ in 0..20 {
            chunks.learn(chunks.size, 2.1 * chunks.size as f64 / 512.0);
        }
        assert_eq!(chunks.size, 256);
    }

    #[test]
    fn what_was_under_way_when_chunks_halved_does_not_halve_them_again() {
        let mut chunks = Chunks::new(512, 1);
        assert_eq!([2.5, 2.5, 2.5, 2.5].map(|load| chunks.learn(512, load)), [None, Some(256), None, None]);
        assert_eq!([2.5, 2.5].map(|load| chunks.learn(256, load)), [None, Some(128)]);
    }

    #[test]
    fn the_rest_of_a_prompt_can_be_too_long_but_not_short() {
        let mut chunks = Chunks::new(512, 1);
        assert_eq!([0.01, 0.01, 0.01].map(|load| chunks.learn(300, load)), [None; 3]);
        // Neither does it take back what a whole chunk has shown.
        assert_eq!([9.0, 1.0].map(|load| chunks.learn(300, load)), [None; 2]);
        assert_eq!(chunks.learn(300, 9.0), Some(256));
    }

    #[test]
    fn other_sequences_tokens_belong_to_a_step() {
        let mut chunks = Chunks::new(64, 16);
        assert_eq!((chunks.step_tokens(), chunks.learn(79, 9.0), chunks.learn(79, 9.0)), (79, None, Some(32)));
        assert_eq!((chunks.step_tokens(), chunks.learn(79, 0.1), chunks.learn(47, 0.1)), (47, None, None));
        assert_eq!(chunks.learn(47, 0.1), Some(64));
    }
}

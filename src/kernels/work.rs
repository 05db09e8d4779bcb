//! What a dispatch has to do at least: its arithmetic and its memory traffic.

use std::ops::Add;

/// The least work of a dispatch. Each input counts once and each output once, however often a kernel reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Arithmetic operations: a multiplication with an addition is two, a division or an exponential one.
    pub flops: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

impl Work {
    /// Bytes moved.
    pub fn bytes(&self) -> u64 {
        self.read + self.written
    }

    /// Operations a byte.
    pub fn intensity(&self) -> f64 {
        self.flops as f64 / self.bytes() as f64
    }
}

impl Add for Work {
    type Output = Work;

    fn add(self, other: Work) -> Work {
        Work { flops: self.flops + other.flops, read: self.read + other.read, written: self.written + other.written }
    }
}

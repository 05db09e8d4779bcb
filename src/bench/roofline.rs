//! What an adapter can do at most, and which of its limits a piece of work meets first (Williams, Waterman & Patterson 2009,
//! with a third roof for work that is smaller than a dispatch).

use crate::kernels::Work;

/// Measured peaks of an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofs {
    /// f32 operations a second.
    pub flops: f64,
    /// Bytes a second, only reading.
    pub read: f64,
    /// Bytes a second, reading and writing alike.
    pub copy: f64,
    /// Seconds that a dispatch takes which does nothing but wait for the one before.
    pub dispatch: f64,
}

/// The peak that bounds a piece of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// `fma_f32`, `read`, `copy` or `dispatch`.
    pub name: &'static str,
    /// That peak: GFLOP/s, GB/s, or nanoseconds.
    pub peak: f64,
    /// The least time that the work takes, in seconds.
    pub seconds: f64,
}

impl Roofs {
    /// Bounds nothing.
    pub(super) const UNKNOWN: Roofs =
        Roofs { flops: f64::INFINITY, read: f64::INFINITY, copy: f64::INFINITY, dispatch: 0.0 };

    /// The roof that the work meets first.
    pub fn bound(&self, work: &Work) -> Bound {
        let (memory, bandwidth) = self.bandwidth(work);
        let bounds = [
            Bound { name: "fma_f32", peak: self.flops / 1e9, seconds: work.flops as f64 / self.flops },
            Bound { name: memory, peak: bandwidth / 1e9, seconds: work.bytes() as f64 / bandwidth },
            Bound { name: "dispatch", peak: self.dispatch * 1e9, seconds: self.dispatch },
        ];
        bounds.into_iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds)).unwrap_or(bounds[0])
    }

    /// Operations a second at an intensity (operations a byte): `min(peak, intensity * read bandwidth)`.
    pub fn attainable(&self, intensity: f64) -> f64 {
        self.flops.min(intensity * self.read)
    }

    /// Work that writes a quarter of its bytes or more is held against the copy bandwidth.
    fn bandwidth(&self, work: &Work) -> (&'static str, f64) {
        if 4 * work.written >= work.bytes() { ("copy", self.copy) } else { ("read", self.read) }
    }
}

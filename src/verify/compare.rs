//! Compares an output with the reference's.

use std::fmt;

use half::f16;

use super::case::UNTOUCHED;
use super::tolerances::Tolerance;
use crate::kernels::Elements;

/// What is wrong with an output. Indices count elements, from the first of the tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A word in front of the output (negative) or behind it changed.
    Sentinel { tensor: &'static str, word: i64 },
    /// The kernel wrote an element that the reference leaves alone, or left one that the reference writes.
    Untouched { tensor: &'static str, index: usize, actual: u32, expected: u32 },
    /// An element that must be equal to the bit, or is NaN or infinite on one side.
    Different { tensor: &'static str, index: usize, actual: f64, expected: f64 },
    /// The errors are small numbers, but not small enough.
    TooFar { tensor: &'static str, nmse: f64, max_error: f64 },
    /// The kernel wrote to an input.
    Input { tensor: &'static str, word: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Sentinel { tensor, word } => write!(f, "the sentinel at word {word} of {tensor} was overwritten"),
            Fault::Untouched { tensor, index, actual, expected } => {
                write!(f, "word {index} of {tensor} is {actual:#010x} and should be {expected:#010x}")
            }
            Fault::Different { tensor, index, actual, expected } => {
                write!(f, "element {index} of {tensor} is {actual:e} and should be {expected:e}")
            }
            Fault::TooFar { tensor, nmse, max_error } => {
                write!(f, "{tensor} has an NMSE of {nmse:.1e} and a largest error of {max_error:.1e} RMS")
            }
            Fault::Input { tensor, word } => write!(f, "word {word} of the input {tensor} was overwritten"),
        }
    }
}

/// How a case went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The worst of the outputs.
    pub nmse: f64,
    /// The largest absolute error of an element, in units of the reference's root mean square.
    pub max_error: f64,
    /// Of each kind and tensor, the first.
    pub faults: Vec<Fault>,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    /// Compares the words of one output with the reference's.
    pub(crate) fn compare(
        &mut self,
        tensor: &'static str,
        elements: Elements,
        actual: &[u32],
        expected: &[u32],
        tolerance: &Tolerance,
    ) {
        let mut errors = Errors::default();
        let mut untouched = None;
        for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
            if actual == expected {
                errors.equal(elements, expected);
            } else if actual == UNTOUCHED || expected == UNTOUCHED {
                untouched = untouched.or(Some(Fault::Untouched { tensor, index, actual, expected }));
            } else {
                match elements {
                    Elements::U32 => errors.pair(index, f64::from(actual), f64::from(expected), true),
                    Elements::F32 => errors.pair(
                        index,
                        f64::from(f32::from_bits(actual)),
                        f64::from(f32::from_bits(expected)),
                        tolerance.is_exact(),
                    ),
                    Elements::I8 => {
                        for (byte, (a, e)) in bytes(actual).into_iter().zip(bytes(expected)).enumerate() {
                            errors.pair(4 * index + byte, a, e, tolerance.is_exact());
                        }
                    }
                    Elements::F16 => {
                        for (half, (a, e)) in halves(actual).into_iter().zip(halves(expected)).enumerate() {
                            errors.pair(2 * index + half, a, e, tolerance.is_exact());
                        }
                    }
                }
            }
        }
        self.faults.extend(untouched);
        if let Some((index, actual, expected)) = errors.first_different {
            self.faults.push(Fault::Different { tensor, index, actual, expected });
        }
        let (nmse, max_error) = errors.finish();
        if nmse > tolerance.nmse || max_error > tolerance.max {
            self.faults.push(Fault::TooFar { tensor, nmse, max_error });
        }
        self.nmse = self.nmse.max(nmse);
        self.max_error = self.max_error.max(max_error);
    }
}

fn bytes(word: u32) -> [f64; 4] {
    word.to_le_bytes().map(|byte| f64::from(byte as i8))
}

fn halves(word: u32) -> [f64; 2] {
    [word as u16, (word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f64())
}

/// Running sums over finite pairs.
#[derive(Debug, Default)]
pub(super) struct Errors {
    squares: f64,
    error_squares: f64,
    max: f64,
    count: usize,
    first_different: Option<(usize, f64, f64)>,
}

impl Errors {
    /// Two equal words: only the reference's power grows.
    fn equal(&mut self, elements: Elements, word: u32) {
        let (values, count) = match elements {
            Elements::U32 => return,
            Elements::F32 => ([f64::from(f32::from_bits(word)), 0.0, 0.0, 0.0], 1),
            Elements::F16 => {
                let [low, high] = halves(word);
                ([low, high, 0.0, 0.0], 2)
            }
            Elements::I8 => (bytes(word), 4),
        };
        for value in values[..count].iter().filter(|value| value.is_finite()) {
            self.squares += value * value;
            self.count += 1;
        }
    }

    fn pair(&mut self, index: usize, actual: f64, expected: f64, exact: bool) {
        let same = actual == expected || (actual.is_nan() && expected.is_nan());
        let finite = actual.is_finite() && expected.is_finite();
        if !same && (exact || !finite) {
            self.first_different = self.first_different.or(Some((index, actual, expected)));
        }
        if finite && !exact {
            let error = (actual - expected).abs();
            self.squares += expected * expected;
            self.error_squares += error * error;
            self.max = self.max.max(error);
            self.count += 1;
        }
    }

    /// Adds numbers of which none need be equal to the bit.
    pub fn extend(&mut self, actual: &[f32], expected: &[f32]) {
        for (actual, expected) in actual.iter().zip(expected) {
            self.pair(self.count, f64::from(*actual), f64::from(*expected), false);
        }
    }

    /// Whether a number was NaN or infinite on one side alone.
    pub fn differ(&self) -> bool {
        self.first_different.is_some()
    }

    /// NMSE, and the largest error over the RMS. A reference of all zeros bears no error.
    pub fn finish(&self) -> (f64, f64) {
        if self.error_squares == 0.0 {
            return (0.0, 0.0);
        }
        (self.error_squares / self.squares, self.max / (self.squares / self.count as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tolerances::Tolerance;

    const CLOSE: Tolerance = Tolerance { nmse: 1e-10, max: 1e-3, reason: "" };
    const EXACT: Tolerance = Tolerance { nmse: 0.0, max: 0.0, reason: "" };

    fn outcome(actual: &[f32], expected: &[f32], tolerance: &Tolerance) -> Outcome {
        let mut outcome = Outcome::default();
        let (actual, expected) = (bytemuck::cast_slice(actual), bytemuck::cast_slice(expected));
        outcome.compare("y", Elements::F32, actual, expected, tolerance);
        outcome
    }

    #[test]
    fn errors_are_relative_to_the_reference() {
        let outcome = outcome(&[3.0, 4.5], &[3.0, 4.0], &CLOSE);
        assert_eq!(outcome.nmse, 0.25 / 25.0);
        assert_eq!(outcome.max_error, 0.5 / 12.5f64.sqrt());
        assert!(matches!(outcome.faults[..], [Fault::TooFar { .. }]));
    }

    #[test]
    fn small_errors_pass_unless_bits_must_agree() {
        assert!(outcome(&[1.0, 1.000_001], &[1.0, 1.0], &CLOSE).passed());
        assert!(!outcome(&[1.0, 1.000_001], &[1.0, 1.0], &EXACT).passed());
        assert!(outcome(&[0.0, -0.0], &[-0.0, 0.0], &EXACT).passed(), "both zeros are zero");
    }

    #[test]
    fn nan_and_infinity_must_agree() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert!(outcome(&[nan, inf, 1.0], &[-nan, inf, 1.0], &CLOSE).passed());
        for (actual, expected) in [(nan, 1.0), (1.0, nan), (inf, 1.0), (inf, -inf), (nan, inf)] {
            assert!(!outcome(&[actual], &[expected], &CLOSE).passed(), "{actual} for {expected}");
        }
        assert!(!outcome(&[1e-30], &[0.0], &CLOSE).passed(), "any error is too large for a reference of zeros");
    }

    #[test]
    fn untouched_elements_are_compared_to_the_bit() {
        let left = f32::from_bits(UNTOUCHED);
        assert!(outcome(&[left, 1.0], &[left, 1.0], &CLOSE).passed());
        assert!(!outcome(&[left], &[f32::NAN], &CLOSE).passed(), "not written");
        assert!(!outcome(&[f32::NAN], &[left], &CLOSE).passed(), "written where nothing should be");
    }

    #[test]
    fn halves_are_compared_one_by_one() {
        let word = |a: f32, b: f32| u32::from(f16::from_f32(a).to_bits()) | u32::from(f16::from_f32(b).to_bits()) << 16;
        let mut outcome = Outcome::default();
        outcome.compare("k", Elements::F16, &[word(1.0, 2.0)], &[word(1.0, 3.0)], &EXACT);
        assert_eq!(outcome.faults, [Fault::Different { tensor: "k", index: 1, actual: 2.0, expected: 3.0 }]);
    }
}

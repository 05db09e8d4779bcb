use super::*;
use crate::verify::Random;

fn block(values: &[f32]) -> ([i8; BLOCK], f32) {
    let mut codes = [9; BLOCK];
    let scale = quantize_block(values, &mut codes);
    (codes, scale)
}

#[test]
fn blocks_are_those_of_ggml() {
    let mut values = [0.0; BLOCK];
    // The codes of 254 / 127 = 2 are halves of the values.
    values[..6].copy_from_slice(&[254.0, -254.0, 1.0, -1.0, 0.9, -3.0]);
    let (codes, scale) = block(&values);
    assert_eq!(scale, 2.0);
    assert_eq!(codes[..7], [127, -127, 1, -1, 0, -2, 0]);
    assert_eq!(block(&[0.0; BLOCK]), ([0; BLOCK], 0.0));
}

#[test]
fn what_is_not_finite_is_not_hidden() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = [1.0; BLOCK];
        values[7] = value;
        let (codes, scale) = block(&values);
        assert!(!scale.is_finite(), "{value}");
        assert_eq!(codes, [0; BLOCK], "{value}");
        assert!((scale * f32::from(codes[0])).is_nan(), "a product with it is a number");
    }
}

#[test]
fn the_error_is_half_a_step_at_most_from_the_smallest_to_the_largest_numbers() {
    for limit in [1e-34, 1e-9, 1.0, 65_504.0, 1e30, f32::MAX / 2.0] {
        let values: Vec<f32> = Random::new(7).floats(64 * BLOCK, limit);
        let (mut codes, mut scales) = (vec![0; values.len()], vec![0.0; 64]);
        quantize(&values, &mut codes, &mut scales);
        let found = dequantize(&codes, &scales);
        for (i, (found, value)) in found.iter().zip(&values).enumerate() {
            // The quotient's own rounding is a few units in the last place of 127.
            assert!((found - value).abs() <= 0.500_02 * scales[i / BLOCK], "{value} became {found}, {limit}");
        }
        let largest = |values: &[f32]| values.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        for (codes, block) in codes.chunks(BLOCK).zip(values.chunks(BLOCK)) {
            let most = codes.iter().map(|code| code.unsigned_abs()).max();
            assert_eq!(most, Some(127), "of a block with the largest {}", largest(block));
        }
    }
    let (codes, scale) = block(&[f32::MIN_POSITIVE; BLOCK]);
    assert_eq!(codes, [0; BLOCK], "next to nothing");
    assert_eq!(scale, 0.0);
}

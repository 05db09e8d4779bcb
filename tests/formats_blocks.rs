//! Dequantisation against the vectors that `tests/oracle/make_block_vectors.py` made with gguf-py.

use safetensors::SafeTensors;
use wgpt::formats::DType;
use wgpt::formats::blocks::{DequantizeError, dequantize};

const VECTORS: &[u8] = include_bytes!("oracle/blocks.safetensors");

/// The stored bytes and the expected values of a case, or `None` if the vectors lack it.
fn case(vectors: &SafeTensors<'_>, dtype: DType, case: &str) -> Option<(Vec<u8>, Vec<f32>)> {
    let bytes = vectors.tensor(&format!("{dtype}.{case}.bytes")).ok()?.data().to_vec();
    let values = vectors.tensor(&format!("{dtype}.{case}.values")).expect("bytes come with values");
    let (values, rest) = values.data().as_chunks();
    assert!(rest.is_empty());
    Some((bytes, values.iter().map(|&value| f32::from_le_bytes(value)).collect()))
}

fn assert_bits(dtype: DType, bytes: &[u8], expected: &[f32]) {
    let mut out = vec![f32::NAN; expected.len()];
    dequantize(dtype, bytes, &mut out).unwrap();
    for (index, (actual, expected)) in out.iter().zip(expected).enumerate() {
        assert_eq!(actual.to_bits(), expected.to_bits(), "{dtype} element {index}: {actual} instead of {expected}");
    }
}

#[test]
fn random_blocks_of_every_type_are_bit_exact() {
    let vectors = SafeTensors::deserialize(VECTORS).unwrap();
    for dtype in DType::ALL {
        let (bytes, expected) = case(&vectors, dtype, "random").expect("a case for every type");
        assert_eq!(dtype.bytes_of(expected.len()), Some(bytes.len()));
        assert_bits(dtype, &bytes, &expected);
    }
}

#[test]
fn quantised_weights_are_bit_exact() {
    let vectors = SafeTensors::deserialize(VECTORS).unwrap();
    let mut types = Vec::new();
    for dtype in DType::ALL {
        if let Some((bytes, expected)) = case(&vectors, dtype, "normal") {
            assert_bits(dtype, &bytes, &expected);
            types.push(dtype);
        }
    }
    use DType::*;
    assert_eq!(types, [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0], "gguf-py quantises to all but the K types");
}

#[test]
fn the_zero_block_is_zero() {
    for dtype in DType::ALL {
        let mut out = vec![1.0; dtype.block_len()];
        dequantize(dtype, &vec![0; dtype.block_bytes()], &mut out).unwrap();
        assert!(out.iter().all(|&value| value == 0.0), "{dtype}: {out:?}");
    }
}

#[test]
fn a_nan_scale_spoils_its_own_block_only() {
    for dtype in [DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q8_0, DType::Q4_K, DType::Q5_K] {
        let mut bytes = vec![0; 2 * dtype.block_bytes()];
        bytes[..2].copy_from_slice(&[0x00, 0x7e]);
        let mut out = vec![1.0; 2 * dtype.block_len()];
        dequantize(dtype, &bytes, &mut out).unwrap();
        let (first, second) = out.split_at(dtype.block_len());
        assert!(first.iter().all(|value| value.is_nan()), "{dtype}: {first:?}");
        assert!(second.iter().all(|&value| value == 0.0), "{dtype}: {second:?}");
    }
}

#[test]
fn wrong_lengths_are_errors_and_write_nothing() {
    for dtype in DType::ALL {
        let mut out = vec![7.0; dtype.block_len()];
        let short = vec![0; dtype.block_bytes() - 1];
        assert_eq!(
            dequantize(dtype, &short, &mut out),
            Err(DequantizeError::PartialBlock { dtype, bytes: short.len() })
        );
        let two = vec![0; 2 * dtype.block_bytes()];
        assert_eq!(
            dequantize(dtype, &two, &mut out),
            Err(DequantizeError::OutputLen { stored: 2 * dtype.block_len(), output: dtype.block_len() })
        );
        assert!(out.iter().all(|&value| value == 7.0));
        assert_eq!(dequantize(dtype, &[], &mut []), Ok(()));
    }
}

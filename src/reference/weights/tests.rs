use super::*;
use crate::kernels::weight_layout::{repack, shader_name};
use crate::recording::{Access, Binding, BufferId, Program, Slice};
use crate::reference::bindings::View;
use crate::verify::Random;

/// Element `i` of a block of the file, straight from the comments of ggml's `ggml-common.h`.
fn file_element(dtype: DType, block: &[u8], i: usize) -> f32 {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let nibble = |qs: usize| i32::from(if i < 16 { block[qs + i] & 15 } else { block[qs + i - 16] >> 4 });
    let fifth = |qh: usize| i32::from(block[qh + i / 8] >> (i % 8) & 1) << 4;
    // The K types: j is the group of 32 within the superblock.
    let (j, l) = (i / 32, i % 32);
    let k_nibble = |qs: usize| i32::from(block[qs + j / 2 * 32 + l] >> (4 * (j % 2)) & 15);
    let k_scales = || {
        let s = &block[4..16];
        match j {
            0..4 => (s[j] & 63, s[j + 4] & 63),
            _ => (s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4),
        }
    };
    let k_value = |q: i32| {
        let (scale, min) = k_scales();
        half(0) * f32::from(scale) * q as f32 - half(2) * f32::from(min)
    };
    match dtype {
        DType::F32 => f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        DType::F16 => half(0),
        DType::BF16 => bf16::from_le_bytes([block[0], block[1]]).to_f32(),
        DType::Q4_0 => half(0) * (nibble(2) - 8) as f32,
        DType::Q4_1 => half(0) * nibble(4) as f32 + half(2),
        DType::Q5_0 => half(0) * ((nibble(6) | fifth(2)) - 16) as f32,
        DType::Q5_1 => half(0) * (nibble(8) | fifth(4)) as f32 + half(2),
        DType::Q8_0 => half(0) * f32::from(block[2 + i] as i8),
        DType::Q4_K => k_value(k_nibble(16)),
        DType::Q5_K => k_value(k_nibble(48) | i32::from(block[16 + l] >> j & 1) << 4),
        DType::Q6_K => {
            let (n, run) = (i / 128, i % 128 / 32);
            let low = block[64 * n + 32 * (run % 2) + l] >> (4 * (run / 2)) & 15;
            let high = block[128 + 32 * n + l] >> (2 * run) & 3;
            half(208) * f32::from(block[192 + i / 16] as i8) * (i32::from(low | high << 4) - 32) as f32
        }
    }
}

#[test]
fn planes_hold_what_the_file_holds() {
    let mut random = Random::new(7);
    for dtype in DType::ALL {
        // One, two and odd numbers of groups or superblocks a row.
        for blocks in [1, 2, 3, 5] {
            let (rows, k) = (3, blocks * dtype.block_len().max(GROUP));
            let bytes = random.blocks(dtype, rows * k);
            let mut planes: [Vec<u32>; PLANES] = Default::default();
            repack(dtype, k, &bytes, &mut planes);
            let mut bindings = Bindings::default();
            let slice = Slice { buffer: BufferId(0), offset: 0, size: 0 };
            let mut dispatch = Dispatch::new(Program::new("embed", "base").weights(shader_name(dtype)), &0u32, [1; 3]);
            for (index, plane) in (0..).zip(&planes) {
                assert_eq!(plane.len(), rows * row_words(dtype, k)[index as usize], "{dtype}: plane {index}");
                dispatch = dispatch.read(index, slice);
                bindings.insert(index, View::Read(plane)).unwrap();
            }
            assert!(dispatch.bindings().contains(&Binding { index: 0, slice, access: Access::Read }));
            let weights = Weights::new(&dispatch, &mut bindings, rows, k).unwrap();
            for row in 0..rows {
                let mut values = vec![f32::NAN; k];
                weights.row(row, &mut values);
                for (i, value) in values.iter().enumerate() {
                    let element = row * k + i;
                    let block = &bytes[element / dtype.block_len() * dtype.block_bytes()..][..dtype.block_bytes()];
                    let expected = file_element(dtype, block, element % dtype.block_len());
                    assert_eq!(*value, expected, "{dtype}, {blocks} blocks a row: row {row}, element {i}");
                }
            }
        }
    }
}

#[test]
fn rows_of_broken_blocks_are_refused() {
    let dispatch = Dispatch::new(Program::new("embed", "base").weights("q4_k"), &0u32, [1; 3]);
    let plane = vec![0; 1000];
    let mut bindings = Bindings::default();
    bindings.insert(0, View::Read(&plane)).unwrap();
    assert!(matches!(Weights::new(&dispatch, &mut bindings, 1, 96), Err(TwinError::Shape(_))));
    let short = Weights::new(&dispatch, &mut bindings, 100, 256).err();
    assert_eq!(short, Some(TwinError::TooShort { index: 0, has: 1000, needs: 3200 }));
}

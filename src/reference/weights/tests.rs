use super::*;
use crate::formats::blocks::dequantize;
use crate::kernels::weight_layout::{TEXEL, interleave, repack, shader_name};
use crate::recording::{BufferId, Program, Slice};
use crate::reference::bindings::View;
use crate::verify::Random;

#[test]
fn planes_hold_what_the_file_holds() {
    let mut random = Random::new(7);
    for dtype in DType::ALL {
        // One, two and odd numbers of groups or superblocks a row.
        for blocks in [1, 2, 3, 5] {
            let (rows, k) = (11, blocks * dtype.block_len().max(GROUP));
            let bytes = random.blocks(dtype, rows * k);
            let mut file = vec![0.0; rows * k];
            dequantize(dtype, &bytes, &mut file).unwrap();
            let mut planes: [Vec<u32>; PLANES] = Default::default();
            repack(dtype, k, &bytes, &mut planes);
            let words = row_words(dtype, k);
            for (plane, words) in planes.iter().zip(words) {
                assert_eq!(plane.len(), rows * words, "{dtype}");
            }
            check(dtype, k, &planes, false, &file);
            let planes: [Vec<u32>; PLANES] = std::array::from_fn(|plane| match words[plane] {
                0 => Vec::new(),
                words => interleave(dtype, plane, words, &planes[plane]),
            });
            check(dtype, k, &planes, true, &file);
        }
    }
}

/// The twins read from the planes what the file holds.
fn check(dtype: DType, k: usize, planes: &[Vec<u32>; PLANES], in_texels: bool, file: &[f32]) {
    let mut bindings = Bindings::default();
    let slice = Slice { buffer: BufferId(0), offset: 0, size: 0 };
    let program = Program::new("embed", "base").weights(shader_name(dtype));
    let mut dispatch = Dispatch::new(program, &0u32, [1; 3]);
    for (index, plane) in (0..).zip(planes) {
        dispatch = match in_texels {
            true => dispatch.load_texels(index, slice, TEXEL),
            false => dispatch.read(index, slice),
        };
        bindings.insert(index, View::Read(plane)).unwrap();
    }
    assert_eq!(dispatch.loads_texels(0), in_texels);
    let weights = Weights::new(&dispatch, &mut bindings, file.len() / k, k).unwrap();
    for (row, expected) in file.chunks_exact(k).enumerate() {
        let mut values = vec![f32::NAN; k];
        weights.row(row, &mut values);
        for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
            assert_eq!(value, expected, "{dtype}, k {k}, in texels {in_texels}: row {row}, element {i}");
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

//! The numbers by which GGUF names storage types: `enum ggml_type` of `ggml.h`.

use std::borrow::Cow;

use crate::formats::DType;

/// The storage type with ggml's number `id`, or the name of one that is not supported.
pub(super) fn dtype(id: u32) -> Result<DType, Cow<'static, str>> {
    Ok(match id {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::Q4_0,
        3 => DType::Q4_1,
        6 => DType::Q5_0,
        7 => DType::Q5_1,
        8 => DType::Q8_0,
        12 => DType::Q4_K,
        13 => DType::Q5_K,
        14 => DType::Q6_K,
        30 => DType::BF16,
        _ => return Err(unsupported(id)),
    })
}

fn unsupported(id: u32) -> Cow<'static, str> {
    Cow::Borrowed(match id {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => return Cow::Owned(format!("type {id}")),
    })
}

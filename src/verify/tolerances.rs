//! How far a kernel may be from the reference: the one table, with a reason each.

use std::collections::BTreeSet;

use crate::formats::DType;
use crate::kernels::kv_cache::KvType;
use crate::kernels::{Elements, Selection};
use crate::recording::Program;

/// How far an output may be from the reference's.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Tolerance {
    /// The largest normalised mean squared error: `sum (a - b)^2 / sum b^2`.
    pub nmse: f64,
    /// The largest absolute error of one element, in units of the reference's root mean square.
    pub max: f64,
    pub reason: &'static str,
}

impl Tolerance {
    /// Whether not a bit may differ.
    pub fn is_exact(&self) -> bool {
        self.nmse == 0.0 && self.max == 0.0
    }
}

const fn exact(reason: &'static str) -> Tolerance {
    Tolerance { nmse: 0.0, max: 0.0, reason }
}

static MOVED: Tolerance = exact("elements are moved, not computed");
static COMPARED: Tolerance = exact("comparisons have one result; ties go to the lowest index on both sides");
static DRAWN: Tolerance =
    exact("a token is drawn or it is not; no case's random number lies as close to a border as f32 sums are off");
/// For an embedding whose scale is 1.
pub static UNSCALED: Tolerance =
    exact("a dequantised weight is an exact product or one rounded sum, and a factor of 1 changes nothing");
static SCALED: Tolerance = Tolerance {
    nmse: 1e-13,
    max: 1e-6,
    reason: "dequantised weights are exact; a compiler may regroup the product with the scale: two roundings of 2^-24",
};
static HALF_ROUNDED: Tolerance = Tolerance {
    nmse: 1e-6,
    max: 4e-3,
    reason: "WGSL lets pack2x16float round either way: one unit in the last place of f16, 2^-10, where the reference is off by half of it",
};
static Q8_ROUNDED: Tolerance = Tolerance {
    nmse: 1e-6,
    max: 0.1,
    reason: "where a quotient is near a half, one code of 127 to either side; and one unit in the last place of the f16 scale",
};
static Q8_ROUNDED_F32: Tolerance = Tolerance {
    nmse: 1e-5,
    max: 0.1,
    reason: "where a quotient is near a half, one code of 127 to either side: of a single block one is an NMSE of 6e-6",
};
static ROTATED: Tolerance =
    Tolerance { nmse: 1e-13, max: 1e-6, reason: "two products and a sum, each off by at most 2^-24" };
static NORMALISED: Tolerance = Tolerance {
    nmse: 1e-11,
    max: 2e-5,
    reason: "an f32 sum of squares, all positive, and WGSL's sqrt and division of up to 2.5 ulp each",
};
static ACTIVATED: Tolerance = Tolerance {
    nmse: 1e-10,
    max: 1e-4,
    reason: "WGSL's exp is off by up to 3 + 2|x| ulp, and |x| is below about 20 where the result is not 0 or x",
};
static ATTENDED: Tolerance = Tolerance {
    nmse: 1e-10,
    max: 1e-4,
    reason: "f32 dot products under an exp of 3 + 2|x| ulp, then an average with weights that sum to 1",
};
static SUMMED: Tolerance = Tolerance {
    nmse: 1e-11,
    max: 5e-5,
    reason: "an f32 sum of k products of random sign has an NMSE of about 2^-48 k / 6: 1e-11 at k = 16,000, the longest here is shorter",
};
/// For factors that a kernel rounds as it loads them, where they are not codes already.
pub static SUMMED_ROUNDED: Tolerance = Tolerance {
    nmse: 1e-5,
    max: 2e-2,
    reason: "as for others; and where a quotient is near a half, one code of x is one of 127 to either side: of k = 32 in a row \
             of its own, an NMSE of 6e-6 and an error of 4e-3",
};
static HALVES: Tolerance = Tolerance {
    nmse: 1e-6,
    max: 1e-2,
    reason: "x and W are rounded to f16, which WGSL lets go either way: an NMSE of 2^-20 / 3 * 0.54 = 1.7e-7 each, and of half of \
             both if all go one way; a quarter of it to the nearest. The products are exact and the sums f32",
};
/// For factors of f16 with an outlier each.
pub static HALF_OUTLIERS: Tolerance = Tolerance {
    nmse: 4e-6,
    max: 0.5,
    reason: "as for others; but the one product of both outliers is as many times the root mean square as there are columns, \
             with an error of up to 2^-9 of itself",
};
static HALF_SUMS: Tolerance = Tolerance {
    nmse: 4e-6,
    max: 2e-2,
    reason: "as for factors of f16, and each of 16 additions in f16 rounds the sum so far: 8 * 1.7e-7 more in the mean if none \
             goes to the nearest",
};

/// For sums of up to a million products.
pub static SUMMED_LONG: Tolerance = Tolerance {
    nmse: 1e-9,
    max: 5e-4,
    reason: "as for shorter sums: 2^-48 k / 6 is 3e-10 where one thread adds up k = 524,288 products",
};

/// How far a whole model may be from the reference.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct ModelTolerance {
    /// The residual stream after each layer.
    pub residual: Tolerance,
    /// The logits of one position.
    pub logits: Tolerance,
    /// The mean Kullback-Leibler divergence of next-token distributions, in nats.
    pub mean_kl: f64,
    /// The largest of one position.
    pub worst_kl: f64,
    /// Where the most likely tokens differ: by how many logits the reference may prefer its own.
    pub margin: f64,
    pub reason: &'static str,
}

const GROWN: &str = "f32 rounding grows from layer to layer, and more where the residual stream has outliers; real models \
    of up to 30 layers stand some forty times closer or more, and a damaged tensor or a wrong kernel far beyond";

static MODEL_F32: ModelTolerance = ModelTolerance {
    residual: Tolerance { nmse: 1e-9, max: 0.05, reason: GROWN },
    logits: Tolerance { nmse: 1e-9, max: 0.01, reason: GROWN },
    mean_kl: 1e-8,
    worst_kl: 1e-7,
    margin: 0.02,
    reason: "the divergence grows with the square of the logits' errors, which are some 1e-5 of their size in real models",
};
static MODEL_F16: ModelTolerance = ModelTolerance {
    residual: Tolerance { nmse: 1e-5, max: 0.2, reason: GROWN },
    logits: Tolerance { nmse: 1e-5, max: 0.1, reason: GROWN },
    mean_kl: 1e-5,
    worst_kl: 1e-4,
    margin: 0.05,
    reason: "where the two sides round a key or a value to neighbouring f16, it is off by 2^-10 of itself",
};

static MODEL_Q8_0: ModelTolerance = ModelTolerance {
    residual: Tolerance { nmse: 1e-4, max: 0.5, reason: GROWN },
    logits: Tolerance { nmse: 1e-4, max: 0.3, reason: GROWN },
    mean_kl: 1e-4,
    worst_kl: 1e-3,
    margin: 0.15,
    reason: "where the two sides round a key or a value to neighbouring codes, it is off by a 127th of its block's largest",
};

static MODEL_ROUNDED: ModelTolerance = ModelTolerance {
    residual: Tolerance { nmse: 5e-4, max: 0.5, reason: GROWN },
    logits: Tolerance { nmse: 5e-4, max: 0.3, reason: GROWN },
    mean_kl: 1e-2,
    worst_kl: 1e-1,
    margin: 0.5,
    reason: "as for keys and values in codes, but of the activations of every product, whose codes decide those of the next: small \
             models, whose sums are short, came to an NMSE of 2e-4, and SmolLM2 135M to 8e-5 and a divergence of 2e-3, at worst 1e-2",
};

static MODEL_HALVES: ModelTolerance = ModelTolerance {
    residual: Tolerance { nmse: 1e-4, max: 0.5, reason: GROWN },
    logits: Tolerance { nmse: 1e-4, max: 0.3, reason: GROWN },
    mean_kl: 1e-4,
    worst_kl: 1e-3,
    margin: 0.15,
    reason: "each product has an NMSE of 1e-7 to 1e-6 from its factors' rounding to f16, which layers add up",
};

static OUTLIERS: Tolerance = Tolerance {
    nmse: 1e-8,
    max: 1e-2,
    reason: "a model's numbers have outliers of several hundred times their root mean square, and sums that cancel, where the \
             case list's have neither; a wrong number is off by about its own size",
};
static OUTLIERS_OF_HALVES: Tolerance =
    Tolerance { nmse: 1e-4, max: 0.1, reason: "factors of f16, and sums that cancel as in any model" };
static OUTLIERS_HALF_ROUNDED: Tolerance =
    Tolerance { nmse: 1e-6, max: 0.5, reason: "a unit in the last place of an f16 that is such an outlier" };

static OUTLIERS_CODED: Tolerance =
    Tolerance { nmse: 1e-4, max: 0.5, reason: "one code to either side; in blocks with outliers all others are small" };

/// The bounds of a whole model with weights of these types whose cache has this type, and whose products are of rounded factors
/// if the selection says so.
pub fn of_model(kv_type: KvType, selection: &Selection, types: &BTreeSet<DType>) -> &'static ModelTolerance {
    match kv_type {
        _ if selection.rounds_activations(types) => &MODEL_ROUNDED,
        KvType::Q8_0 => &MODEL_Q8_0,
        _ if selection.multiplies_halves(types) => &MODEL_HALVES,
        KvType::F32 => &MODEL_F32,
        KvType::F16 => &MODEL_F16,
    }
}

/// The bound of an output of a program on a model's own numbers.
pub fn in_model(program: &Program, output: Elements) -> &'static Tolerance {
    match of(program) {
        exact if exact.is_exact() => exact,
        _ if program.kernel == "quantize_q8" || program.has_flag("rounded") => &OUTLIERS_CODED,
        _ if (is_append(program) || program.has_flag("appends")) && output != Elements::F32 => &OUTLIERS_HALF_ROUNDED,
        _ if matches!(program.kernel, "matmul_coop" | "matmul_f16") => &OUTLIERS_OF_HALVES,
        _ => &OUTLIERS,
    }
}

/// The bound of an output that its program rounds less or more than others; `None`: it is that of the [program](of).
pub fn of_output(program: &Program, output: Elements) -> Option<&'static Tolerance> {
    match program.kernel {
        "attention_key_lanes" if output == Elements::F16 => Some(&HALF_ROUNDED),
        _ => (is_append(program) && output == Elements::F32).then_some(&ROTATED),
    }
}

fn is_append(program: &Program) -> bool {
    matches!(program.kernel, "rope_append" | "rope_append_q8_0")
}

/// The bound of a program's outputs.
pub fn of(program: &Program) -> &'static Tolerance {
    match program.kernel {
        "argmax" | "run_peaks" => &COMPARED,
        "sample" => &DRAWN,
        "gather_rows" | "to_texels" => &MOVED,
        "quantize_q8" => &Q8_ROUNDED_F32,
        "embed" => &SCALED,
        "rope_append" if program.has_flag("kv_f16") => &HALF_ROUNDED,
        "rope_append" => &ROTATED,
        "rope_append_q8_0" => &Q8_ROUNDED,
        "head_norm" | "rms_norm" | "residual_norm" => &NORMALISED,
        "gated_activation" => &ACTIVATED,
        "attention" | "attention_key_lanes" | "attention_lanes" | "attention_merge" => &ATTENDED,
        "matmul_coop" => &HALVES,
        "matmul_f16" => &HALF_SUMS,
        _ => &SUMMED,
    }
}

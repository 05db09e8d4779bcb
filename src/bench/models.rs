//! The shapes that are measured: those of models, and of single matrices.

use std::fmt;
use std::str::FromStr;

use crate::kernels::weight_layout::GROUP;
use crate::model::Place;

/// The sizes of a decoder that decide its kernels' shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    pub name: &'static str,
    /// Elements of the residual stream.
    pub dim: u32,
    /// Elements of the feed-forward network's hidden layer.
    pub ffn: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub vocabulary: u32,
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub place: Place,
    /// Rows of the weights.
    pub n: u32,
    /// Elements of a row.
    pub k: u32,
}

impl ModelShape {
    /// As the models' own configurations say.
    pub const ALL: [ModelShape; 4] = [
        ModelShape { name: "smollm2", dim: 576, ffn: 1536, heads: 9, kv_heads: 3, head_dim: 64, vocabulary: 49_152 },
        ModelShape {
            name: "qwen2.5-0.5b",
            dim: 896,
            ffn: 4864,
            heads: 14,
            kv_heads: 2,
            head_dim: 64,
            vocabulary: 151_936,
        },
        ModelShape {
            name: "qwen2.5-7b",
            dim: 3584,
            ffn: 18_944,
            heads: 28,
            kv_heads: 4,
            head_dim: 128,
            vocabulary: 152_064,
        },
        ModelShape {
            name: "llama3-8b",
            dim: 4096,
            ffn: 14_336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocabulary: 128_256,
        },
    ];

    /// The linear layers of different shapes, those of one input as one.
    pub fn layers(&self) -> [Layer; 5] {
        let qkv = (self.heads + 2 * self.kv_heads) * self.head_dim;
        let layer = |place, n, k| Layer { place, n, k };
        [
            layer(Place::Qkv, qkv, self.dim),
            layer(Place::AttentionOutput, self.dim, self.heads * self.head_dim),
            layer(Place::GateUp, 2 * self.ffn, self.dim),
            layer(Place::Down, self.dim, self.ffn),
            layer(Place::Head, self.vocabulary, self.dim),
        ]
    }
}

impl fmt::Display for ModelShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for ModelShape {
    type Err = String;

    fn from_str(name: &str) -> Result<ModelShape, String> {
        let found = ModelShape::ALL.into_iter().find(|model| model.name == name);
        found.ok_or_else(|| {
            format!("there are no shapes of '{name}'; use all, {}", ModelShape::ALL.map(|model| model.name).join(", "))
        })
    }
}

/// The weights of a linear layer, of no model in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// Rows: elements of y.
    pub n: u32,
    /// Elements of a row, a multiple of 32.
    pub k: u32,
}

impl MatrixShape {
    /// Its most rows, and the most elements of a row.
    const MOST: u32 = 1 << 18;
}

impl fmt::Display for MatrixShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.n, self.k)
    }
}

impl FromStr for MatrixShape {
    type Err = String;

    /// From `NxK`.
    fn from_str(text: &str) -> Result<MatrixShape, String> {
        let (n, k) = text.split_once('x').ok_or_else(|| format!("'{text}' is no shape like 4096x4096"))?;
        let side = |side: &str| side.parse().ok().filter(|side| (1..=MatrixShape::MOST).contains(side));
        match (side(n), side(k)) {
            (Some(n), Some(k)) if k % GROUP as u32 == 0 => Ok(MatrixShape { n, k }),
            _ => Err(format!(
                "'{text}' is no shape that can be measured: N and K are at most {}, and K is a multiple of {GROUP}",
                MatrixShape::MOST
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_matrix_is_read_as_it_is_written() {
        let shape = MatrixShape { n: 1536, k: 576 };
        assert_eq!("1536x576".parse(), Ok(shape));
        assert_eq!(shape.to_string(), "1536x576");
        for wrong in ["1536", "x", "0x32", "32x0", "32x33", "-1x32", "300000x32", "1536x576x2"] {
            assert!(wrong.parse::<MatrixShape>().is_err(), "{wrong}");
        }
    }
}

//! The kinds of work for which there is a choice of kernels, and what can be chosen.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LinearPath;
use crate::kernels::attention_tiles::AttentionPath;
use crate::kernels::matvec;
use crate::recording::Requirement;

/// The most rows for which small tiles are worth it: larger ones would be half empty.
pub const MAX_SHORT: u32 = 32;

/// Work for which one of several kernels is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Linear layers of one token.
    #[serde(rename = "linear.decode")]
    LinearDecode,
    /// Of a few: the decode tokens of several sequences.
    #[serde(rename = "linear.batch")]
    LinearBatch,
    /// Of a short prompt, or the rest of a long one.
    #[serde(rename = "linear.short")]
    LinearShort,
    /// Of a prefill chunk.
    #[serde(rename = "linear.prefill")]
    LinearPrefill,
    /// Attention of any step.
    #[serde(rename = "attention")]
    Attention,
}

impl Role {
    pub const ALL: [Role; 5] =
        [Role::LinearDecode, Role::LinearBatch, Role::LinearShort, Role::LinearPrefill, Role::Attention];

    /// Those of linear layers.
    pub const LINEAR: [Role; 4] = [Role::LinearDecode, Role::LinearBatch, Role::LinearShort, Role::LinearPrefill];

    /// As `--variant` takes it and `devices -v` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Role::LinearDecode => "linear.decode",
            Role::LinearBatch => "linear.batch",
            Role::LinearShort => "linear.short",
            Role::LinearPrefill => "linear.prefill",
            Role::Attention => "attention",
        }
    }

    /// The role of linear layers over `m` rows.
    pub fn of_rows(m: u32) -> Role {
        match m {
            0..=1 => Role::LinearDecode,
            2..=matvec::MAX_M => Role::LinearBatch,
            m if m <= MAX_SHORT => Role::LinearShort,
            _ => Role::LinearPrefill,
        }
    }

    /// The most rows that its linear layers have.
    fn max_m(self) -> u32 {
        match self {
            Role::LinearDecode => 1,
            Role::LinearBatch => matvec::MAX_M,
            Role::LinearShort => MAX_SHORT,
            Role::LinearPrefill | Role::Attention => u32::MAX,
        }
    }

    /// Which steps it is about, in words.
    pub fn steps(self) -> String {
        match self {
            Role::LinearDecode => "1 token".to_owned(),
            Role::LinearBatch => format!("2 to {} tokens", matvec::MAX_M),
            Role::LinearShort => format!("{} to {MAX_SHORT} tokens", matvec::MAX_M + 1),
            Role::LinearPrefill => "more tokens".to_owned(),
            Role::Attention => "any step".to_owned(),
        }
    }

    /// All kernels that can do this work on some adapter.
    pub fn variants(self) -> Vec<Variant> {
        match self {
            Role::Attention => AttentionPath::ALL.into_iter().map(Variant::Attention).collect(),
            linear => {
                let takes = |path: &LinearPath| path.max_m() >= linear.max_m();
                LinearPath::ALL.into_iter().filter(takes).map(Variant::Linear).collect()
            }
        }
    }

    /// The kernel of that name, if it can do this work.
    pub fn variant(self, name: &str) -> Option<Variant> {
        self.variants().into_iter().find(|variant| variant.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kernel that can be chosen for a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Linear(LinearPath),
    Attention(AttentionPath),
}

impl Variant {
    /// As `--variant` takes it and `devices -v` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Linear(path) => path.name(),
            Variant::Attention(AttentionPath::Tile) => "attention",
            Variant::Attention(AttentionPath::Lanes) => "attention_lanes",
        }
    }

    pub fn linear(self) -> Option<LinearPath> {
        if let Variant::Linear(path) = self { Some(path) } else { None }
    }

    /// Whether it is a kernel that [takes weights from texels](LinearPath::loads_texels).
    pub fn loads_texels(self) -> bool {
        self.linear().is_some_and(LinearPath::loads_texels)
    }

    pub fn attention(self) -> Option<AttentionPath> {
        if let Variant::Attention(path) = self { Some(path) } else { None }
    }

    pub fn requirement(self) -> Requirement {
        match self {
            Variant::Linear(path) => path.requirement(),
            Variant::Attention(path) => path.requirement(),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_rows_has_a_role_whose_kernels_take_them() {
        for m in [1, 2, 7, 8, 9, 32, 33, 512] {
            let role = Role::of_rows(m);
            assert!(
                role.variants().iter().all(|variant| matches!(variant, Variant::Linear(path) if path.max_m() >= m))
            );
        }
    }

    #[test]
    fn names_are_distinct_and_found() {
        for role in Role::ALL {
            let variants = role.variants();
            for variant in &variants {
                assert_eq!(role.variant(variant.name()), Some(*variant), "{role}");
            }
            assert_eq!(serde_json::to_value(role).expect("text"), role.name());
        }
        assert_eq!(Role::LinearPrefill.variant("matvec"), None, "it takes eight rows");
    }
}

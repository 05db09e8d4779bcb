//! Variants that the user wants, whatever is the default or was measured: `linear.decode=matvec,attention=attention`.

use std::str::FromStr;

use super::choices::names;
use super::{Role, Variant};
use crate::recording::{MatrixSize, Requirement};

/// Roles with the kernels that they must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forced(Vec<(Role, Variant)>);

/// Why a variant cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForcedError {
    #[error("'{0}' names no variant; write ROLE=VARIANT, such as linear.decode=matvec, and a comma between several")]
    Form(String),
    #[error("there is no role '{role}'; use {}", Role::ALL.map(Role::name).join(", "))]
    Role { role: String },
    #[error("'{variant}' is no kernel for {role}; use {}", names(.role.variants()))]
    Variant { role: Role, variant: String },
    #[error("{0} is named twice; name one variant for it")]
    Twice(Role),
    #[error(
        "{} takes weights in textures and {} in buffers, where the other cannot load them; name kernels of one kind",
        .texels.name(), .buffers.name()
    )]
    Mixed { texels: Variant, buffers: Variant },
    #[error("this device cannot run {variant}, which needs {}; it can run {possible}", needs(*.requirement))]
    Unmet { variant: Variant, requirement: Requirement, possible: String },
}

fn needs(requirement: Requirement) -> &'static str {
    match requirement {
        Requirement::Nothing => "nothing",
        Requirement::Subgroups => "subgroups of at least 4 lanes",
        Requirement::EightLanes => "a software device with subgroups of 8 lanes, 64-bit integers and storage textures",
        Requirement::Half => "f16 arithmetic",
        Requirement::PackedDot { subgroups: false } => {
            "dot products of packed bytes, which DXC does not take for DirectX 12"
        }
        Requirement::PackedDot { subgroups: true } => {
            "subgroups of at least 4 lanes, and dot products of packed bytes, which DXC does not take for DirectX 12"
        }
        Requirement::CooperativeMatrix { size: MatrixSize::Eight, .. } => {
            "cooperative matrices of 8 x 8 and subgroups of at most 32 lanes"
        }
        Requirement::CooperativeMatrix { lanes: 64, .. } => {
            "cooperative matrices of 16 x 16 and subgroups of up to 64 lanes"
        }
        Requirement::CooperativeMatrix { .. } => "cooperative matrices of 16 x 16 and subgroups of at most 32 lanes",
    }
}

impl Forced {
    pub fn variants(&self) -> &[(Role, Variant)] {
        &self.0
    }
}

impl FromStr for Forced {
    type Err = ForcedError;

    fn from_str(text: &str) -> Result<Forced, ForcedError> {
        let mut forced = Forced::default();
        for part in text.split(',') {
            let (role, name) = part.split_once('=').ok_or_else(|| ForcedError::Form(part.to_owned()))?;
            let (role, name) = (role.trim(), name.trim());
            let known = Role::ALL.into_iter().find(|known| known.name() == role);
            let role = known.ok_or_else(|| ForcedError::Role { role: role.to_owned() })?;
            let variant = role.variant(name).ok_or_else(|| ForcedError::Variant { role, variant: name.to_owned() })?;
            if forced.0.iter().any(|(named, _)| *named == role) {
                return Err(ForcedError::Twice(role));
            }
            forced.0.push((role, variant));
        }
        Ok(forced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_variants_are_read_and_what_is_wrong_is_said() {
        let forced: Forced = "linear.decode=matvec, attention=attention_lanes".parse().expect("both are known");
        let names: Vec<_> = forced.variants().iter().map(|(role, variant)| (role.name(), variant.name())).collect();
        assert_eq!(names, [("linear.decode", "matvec"), ("attention", "attention_lanes")]);
        for (text, says) in [
            ("matvec", "ROLE=VARIANT"),
            ("", "ROLE=VARIANT"),
            ("decode=matvec", "no role 'decode'; use linear.decode"),
            ("linear.prefill=matvec", "no kernel for linear.prefill; use matmul64"),
            ("attention=", "'' is no kernel for attention"),
            ("attention=attention,attention=attention", "twice"),
        ] {
            let error = text.parse::<Forced>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

//! What the user calls a model: a path, or a name on the Hugging Face hub.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A file or a folder that exists.
    Local(PathBuf),
    Hub(HubModel),
}

/// A model on the hub: `owner/name[:QUANT or :file.gguf][@revision]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/name`.
    pub repository: String,
    pub selection: Selection,
    /// A branch, a tag or a commit.
    pub revision: Option<String>,
}

/// Which of the files in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Whatever runs.
    Any,
    /// The GGUF file of this quantisation, such as `Q4_K_M`.
    Quantisation(String),
    /// This GGUF file.
    File(String),
}

/// Why a model cannot be looked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelPathError {
    #[error("there is no file or folder {0}; check the path, or name a model on the hub as OWNER/NAME")]
    NotFound(String),
}

impl ModelSource {
    /// Takes what exists on disk as a path, and only then looks for the form of a hub name.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &OsStr) -> Result<Self, ModelPathError> {
        let path = Path::new(text);
        if path.exists() {
            return Ok(Self::Local(path.to_owned()));
        }
        text.to_str()
            .and_then(HubModel::parse)
            .map(Self::Hub)
            .ok_or_else(|| ModelPathError::NotFound(path.display().to_string()))
    }
}

impl HubModel {
    /// Reads `owner/name[:QUANT or :file.gguf][@revision]`; none for any other text.
    fn parse(text: &str) -> Option<Self> {
        let (text, revision) = match text.split_once('@') {
            Some((_, "")) => return None,
            Some((text, revision)) => (text, Some(revision.to_owned())),
            None => (text, None),
        };
        let (repository, selection) = match text.split_once(':') {
            None => (text, Selection::Any),
            Some((_, "")) => return None,
            Some((repository, file)) if is_weight_file(file) => (repository, Selection::File(file.to_owned())),
            Some((repository, quantisation)) => (repository, Selection::Quantisation(quantisation.to_owned())),
        };
        let (owner, name) = repository.split_once('/')?;
        // `models/tiny.gguf` is a path with a typing error rather than a repository of that name.
        (is_name(owner) && is_name(name) && !is_weight_file(name)).then(|| Self {
            repository: repository.to_owned(),
            selection,
            revision,
        })
    }
}

/// What the hub allows in the name of an owner or a repository.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 96 && text.chars().all(allowed) && !text.starts_with(['.', '-'])
}

fn is_weight_file(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    ["gguf", "safetensors", "bin"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.selection {
            Selection::Any => {}
            Selection::Quantisation(name) | Selection::File(name) => write!(f, ":{name}")?,
        }
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repository: &str, selection: Selection, revision: Option<&str>) -> Option<HubModel> {
        Some(HubModel { repository: repository.into(), selection, revision: revision.map(Into::into) })
    }

    #[test]
    fn hub_names_are_taken_apart_and_put_together_again() {
        for (text, expected) in [
            ("a/b-GGUF", hub("a/b-GGUF", Selection::Any, None)),
            ("a/b.1:Q4_K_M", hub("a/b.1", Selection::Quantisation("Q4_K_M".into()), None)),
            ("a/b@refs/pr/1", hub("a/b", Selection::Any, Some("refs/pr/1"))),
            ("a/b:Q8/m.gguf@v1", hub("a/b", Selection::File("Q8/m.gguf".into()), Some("v1"))),
        ] {
            let parsed = HubModel::parse(text);
            assert_eq!(parsed, expected);
            assert_eq!(parsed.expect(text).to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_no_hub_names() {
        for text in [
            "",
            "a",
            "a/b/c",
            "./a",
            "../a",
            "/a",
            "a/",
            "/",
            "a/b:",
            "a/b@",
            "a b/c",
            "models/tiny.gguf",
            "-a/b",
            "é/b",
            r"C:\m",
        ] {
            assert_eq!(HubModel::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_exists_is_a_path_first() {
        assert_eq!(ModelSource::parse("src/cli".as_ref()), Ok(ModelSource::Local("src/cli".into())));
        assert!(matches!(ModelSource::parse("no/folder".as_ref()), Ok(ModelSource::Hub(_))));
        assert!(ModelSource::parse("no/file.gguf".as_ref()).is_err());
    }
}

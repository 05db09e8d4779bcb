//! Which tokens have a role, and whether the vocabulary has them.

use super::TextError;

/// The special tokens of a model, by role.
#[derive(Clone, Debug, Default)]
pub(super) struct SpecialTokens {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    /// What `encode` puts before a text, and after it.
    pub(super) prefix: Vec<u32>,
    pub(super) suffix: Vec<u32>,
    pub(super) end_of_generation: Vec<u32>,
    /// By the names that chat templates have for them.
    pub(super) texts: Vec<(&'static str, String)>,
}

/// Checks the ids that a checkpoint gives its special tokens against the size of its vocabulary.
pub(super) struct IdCheck {
    size: usize,
    outside: Vec<Outside>,
}

struct Outside {
    name: String,
    id: u64,
    ends: bool,
}

impl IdCheck {
    pub(super) fn new(size: usize) -> Self {
        Self { size, outside: Vec::new() }
    }

    /// The id if there is such a token. `name` is what the checkpoint calls it, `ends` whether it ends a generation.
    pub(super) fn known(&mut self, name: &str, id: u64, ends: bool) -> Option<u32> {
        let known = u32::try_from(id).ok().filter(|&id| (id as usize) < self.size);
        if known.is_none() {
            self.outside.push(Outside { name: name.to_owned(), id, ends });
        }
        known
    }

    /// As llama.cpp, the model goes without the tokens that there are not, with a warning each.
    ///
    /// # Errors
    /// [`TextError::SpecialToken`] where one of them was to end a generation and nothing else does.
    pub(super) fn finish(self, end_of_generation: &[u32], warnings: &mut Vec<String>) -> Result<(), TextError> {
        let size = self.size;
        for Outside { name, id, ends } in self.outside {
            if ends && end_of_generation.is_empty() {
                return Err(TextError::SpecialToken { name, id, size });
            }
            warnings
                .push(format!("{name} is token {id}, but the vocabulary has {size} tokens; the model goes without it"));
        }
        Ok(())
    }
}

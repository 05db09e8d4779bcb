//! Names for what pages hold, so that a request finds the pages that another has computed.

use sha2::{Digest, Sha256};

/// The SHA-256 of all tokens from a sequence's first to a page's last, taken page by page. Keys and values depend on nothing
/// else, so pages of one name hold the same; that two texts share a name is not to be feared, even of prompts made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixHash([u8; 32]);

impl PrefixHash {
    /// Names a page of `tokens` behind the page that `parent` names, or a sequence's first.
    pub fn new(parent: Option<&PrefixHash>, tokens: &[u32]) -> PrefixHash {
        let mut hash = Sha256::new();
        if let Some(parent) = parent {
            hash.update(parent.0);
        }
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        PrefixHash(hash.finalize().into())
    }
}

//! Where files are kept that later runs start faster with.

use std::ffi::OsString;
use std::path::PathBuf;

use etcetera::BaseStrategy;

/// A folder, or `off`.
const VARIABLE: &str = "WGPT_CACHE";

/// `WGPT_CACHE`, or `wgpt` in the user's cache folder; `None` where it is turned off or there is no home.
pub fn cache_folder() -> Option<PathBuf> {
    resolve(std::env::var_os(VARIABLE), || {
        let strategy = etcetera::choose_base_strategy().ok()?;
        Some(strategy.cache_dir().join("wgpt"))
    })
}

fn resolve(variable: Option<OsString>, users: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    match variable.filter(|value| !value.is_empty()) {
        Some(value) if value == "off" => None,
        Some(folder) => Some(folder.into()),
        None => users(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_a_folder_or_turns_the_cache_off() {
        let resolved = |value: Option<&str>| resolve(value.map(OsString::from), || Some("/users".into()));
        assert_eq!(resolved(Some("/own")), Some("/own".into()));
        assert_eq!(resolved(Some("off")), None);
        assert_eq!(resolved(Some("")), Some("/users".into()));
        assert_eq!(resolved(None), Some("/users".into()));
    }
}

//! The environment variables that all Hugging Face tools share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::HubError;

/// Longer than the Python library's 10 s, which slow proxies exceed.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where the hub and its cache are, and who asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HF_ENDPOINT`, without a slash at its end.
    pub endpoint: String,
    /// `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// `HF_TOKEN`, or what `hf auth login` left in `HF_TOKEN_PATH` or `HF_HOME`.
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE`: use the cache alone.
    pub offline: bool,
    /// `HF_HUB_DOWNLOAD_TIMEOUT` in seconds: how long the hub may stay silent.
    pub patience: Duration,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// No variable names the cache, and there is no home folder; or `HF_ENDPOINT` is no address.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, HubError> {
        let text = |name: &str| variable(name).and_then(|value| value.into_os_string().into_string().ok());
        let users = etcetera::home_dir().ok();
        let path = |name: &str| variable(name).map(|path| expanded(path, users.as_deref()));
        // As the Python library: below XDG_CACHE_HOME, or ~/.cache on every system.
        let default_cache = || path("XDG_CACHE_HOME").or_else(|| Some(users.as_ref()?.join(".cache")));
        let default_home = || Some(default_cache()?.join("huggingface"));
        let home = path("HF_HOME").or_else(default_home).ok_or(HubError::NoHome)?;
        let cache = path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub"));
        let login = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = text("HF_TOKEN").or_else(|| std::fs::read_to_string(login).ok());
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if host.is_none_or(|host| host.trim_matches('/').is_empty()) {
            return Err(HubError::BadEndpoint { endpoint });
        }
        let is_true = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        let seconds = text("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.trim().parse().ok());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: text("HF_HUB_OFFLINE").is_some_and(is_true),
            patience: seconds.filter(|&seconds| seconds > 0).map_or(DEFAULT_PATIENCE, Duration::from_secs),
        })
    }

    /// The endpoint as errors name it, without the scheme.
    pub fn host(&self) -> String {
        self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, host)| host).to_owned()
    }
}

/// A path with the user's folder in the place of a leading `~`, which a shell leaves where it stands in quotes.
fn expanded(path: PathBuf, users: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), users) {
        (Ok(rest), Some(users)) => users.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Settings::from_variables(find).expect("a home")
    }

    #[test]
    fn variables_decide() {
        let settings = settings(&[
            ("HF_HOME", "/h"),
            ("HF_ENDPOINT", "http://localhost:1/"),
            ("HF_TOKEN", " secret\n"),
            ("HF_HUB_OFFLINE", "1"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "7"),
        ]);
        assert_eq!(settings.endpoint, "http://localhost:1");
        assert_eq!(settings.host(), "localhost:1");
        assert_eq!(settings.cache, PathBuf::from("/h/hub"));
        assert_eq!(settings.token.as_deref(), Some("secret"));
        assert!(settings.offline);
        assert_eq!(settings.patience, Duration::from_secs(7));
    }

    #[test]
    fn an_endpoint_has_a_scheme_and_a_host() {
        for bad in ["hub.example", "http://", "https:///", "ftp://hub.example"] {
            let find = |name: &str| (name == "HF_ENDPOINT").then(|| bad.into());
            let error = Settings::from_variables(find).expect_err(bad).to_string();
            assert!(error.contains(bad) && error.contains("https://HOST"), "{error}");
        }
    }

    #[test]
    fn a_cache_of_its_own_and_the_defaults() {
        assert_eq!(settings(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]).cache, PathBuf::from("/c"));
        let settings = settings(&[("XDG_CACHE_HOME", "/x")]);
        assert_eq!(settings.cache, PathBuf::from("/x/huggingface/hub"));
        assert_eq!(settings.endpoint, DEFAULT_ENDPOINT);
        assert!(!settings.offline);
        assert_eq!(settings.patience, DEFAULT_PATIENCE);
    }

    #[test]
    fn the_token_of_a_login_is_found() {
        let home = tempfile::tempdir().expect("folder");
        std::fs::write(home.path().join("token"), "from login\n").expect("written");
        let home = home.path().to_str().expect("UTF-8");
        assert_eq!(settings(&[("HF_HOME", home)]).token.as_deref(), Some("from login"));
        assert_eq!(settings(&[("HF_HOME", home), ("HF_TOKEN", "mine")]).token.as_deref(), Some("mine"));
        let login = format!("{home}/token");
        assert_eq!(settings(&[("HF_HOME", "/h"), ("HF_TOKEN_PATH", &login)]).token.as_deref(), Some("from login"));
    }
}

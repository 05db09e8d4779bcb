//! What can go wrong with a model from the hub, each with what to do about it.

use std::io;
use std::path::PathBuf;

use hf_hub::api::sync::ApiError;

use super::settings::Settings;
use crate::cli::model_path::HubModel;

/// Why a model could not be fetched from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("no file or folder {model} is here and {host} has no model of that name; check its spelling{revision}")]
    NotFound { model: String, host: String, revision: &'static str },
    #[error(
        "no file or folder {model} is here, and {host} does not show a model of that name; check its spelling, or if it is private set HF_TOKEN to a token that may read it"
    )]
    Unauthorised { model: String, host: String },
    #[error("access to {model} is restricted; ask for it at {page}, then set HF_TOKEN to a token of that account")]
    Gated { model: String, page: String },
    #[error("{host} answered with HTTP status {status}; try again later")]
    Server { host: String, status: u16 },
    #[error(
        "no file or folder {model} is here, and {host} cannot be reached to look for a model of that name ({reason}); check the path or the network"
    )]
    Offline { model: String, host: String, reason: String },
    #[error(
        "no file or folder {model} is here, the cache has no model of that name, and HF_HUB_OFFLINE is set; check the path, or unset HF_HUB_OFFLINE to download the model"
    )]
    NotCached { model: String },
    #[error("{host} sent {what}; check HF_ENDPOINT")]
    BadReply { host: String, what: String },
    #[error("the download of {file} broke off ({reason}); run the command again to go on where it stopped")]
    BrokeOff { file: String, reason: String },
    #[error(
        "the download of {file} stood still for {seconds} s; check the network and run the command again to go on where it stopped, or set HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
    )]
    StoodStill { file: String, seconds: u64 },
    #[error("{file} arrived damaged ({reason}), so it was deleted; run the command again to download it anew")]
    Corrupt { file: String, reason: String },
    #[error("another process is downloading {file}; wait for it to end")]
    Locked { file: String },
    #[error("the disk of {folder} is full; free some space there, or set HF_HOME to a folder on another disk")]
    DiskFull { folder: PathBuf },
    #[error("cannot write to the cache folder {folder}: {source}; set HF_HOME to a folder that can be written")]
    Cache { folder: PathBuf, source: io::Error },
    #[error("there is no home folder for the download cache; set HF_HOME to a folder")]
    NoHome,
    #[error("HF_ENDPOINT={endpoint} is no address of a hub; use https://HOST, or unset it")]
    BadEndpoint { endpoint: String },
    #[error("{model} has no file that wgpt can run; it needs config.json with *.safetensors, or a GGUF file")]
    NothingToRun { model: String },
    #[error("{model} has several GGUF files; name one as {model}:FILE, of {files}")]
    NameOne { model: String, files: String },
    #[error("{model} has no GGUF file {wanted}; it has {files}")]
    NoSuchFile { model: String, wanted: String, files: String },
    #[error("{model} lacks {missing}, a part of its weights; report it to the model's owner")]
    MissingPart { model: String, missing: String },
    #[error("the index {file} of the weights makes no sense ({reason}); report it to the model's owner")]
    BadIndex { file: String, reason: String },
}

impl HubError {
    /// The meaning of a request that failed before any of a file's bytes came.
    pub fn of_request(error: ApiError, settings: &Settings, model: &HubModel) -> Self {
        let host = settings.host();
        let name = model.repository.clone();
        let error = match error {
            ApiError::RequestError(error) => *error,
            ApiError::IoError(source) => return Self::of_cache(source, settings),
            other => return Self::BadReply { host, what: format!("an unexpected reply ({other})") },
        };
        match error {
            ureq::Error::StatusCode(404) => {
                let revision = if model.revision.is_some() { ", and that of the revision" } else { "" };
                Self::NotFound { model: name, host, revision }
            }
            // The hub answers so for a name that does not exist, too.
            ureq::Error::StatusCode(401) if settings.token.is_none() => Self::Unauthorised { model: name, host },
            ureq::Error::StatusCode(401 | 403) => {
                Self::Gated { page: format!("{}/{name}", settings.endpoint), model: name }
            }
            ureq::Error::StatusCode(status) => Self::Server { host, status },
            ureq::Error::Json(error) => Self::BadReply { host, what: format!("no model description ({error})") },
            ureq::Error::BadUri(error) => Self::BadReply { host, what: format!("nothing, for no address ({error})") },
            other => Self::Offline { model: model.to_string(), host, reason: other.to_string() },
        }
    }

    /// The meaning of a request that nobody answered in time.
    pub fn no_answer(settings: &Settings, model: &HubModel) -> Self {
        let reason = format!("no answer within {} s", settings.patience.as_secs());
        Self::Offline { model: model.to_string(), host: settings.host(), reason }
    }

    /// The meaning of a failed access to the cache.
    pub fn of_cache(source: io::Error, settings: &Settings) -> Self {
        let folder = settings.cache.clone();
        if is_full(&source) { Self::DiskFull { folder } } else { Self::Cache { folder, source } }
    }

    /// The meaning of an error amid a file's bytes, which may be one of the network or one of the disk.
    pub fn of_transfer(error: ApiError, file: &str, settings: &Settings, model: &HubModel) -> Self {
        match error {
            ApiError::IoError(source) if is_full(&source) || is_of_disk(&source) => Self::of_cache(source, settings),
            ApiError::IoError(source) => Self::BrokeOff { file: file.to_owned(), reason: source.to_string() },
            ApiError::LockAcquisition(_) => Self::Locked { file: file.to_owned() },
            other => match Self::of_request(other, settings, model) {
                Self::Offline { reason, .. } => Self::BrokeOff { file: file.to_owned(), reason },
                other => other,
            },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// ureq's own errors of the network have other kinds than these.
fn is_of_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(
        error.kind(),
        AlreadyExists | IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::model_path::Selection;

    fn settings(token: Option<&str>) -> Settings {
        Settings {
            endpoint: "https://hub.example".into(),
            cache: "/cache".into(),
            token: token.map(Into::into),
            offline: false,
            patience: std::time::Duration::from_secs(1),
        }
    }

    fn of_status(status: u16, token: Option<&str>) -> String {
        let model = HubModel { repository: "a/b".into(), selection: Selection::Any, revision: None };
        let error = ApiError::RequestError(Box::new(ureq::Error::StatusCode(status)));
        HubError::of_request(error, &settings(token), &model).to_string()
    }

    #[test]
    fn a_refusal_says_what_to_do_with_and_without_a_token() {
        assert!(of_status(401, None).contains("set HF_TOKEN"));
        assert!(of_status(401, Some("t")).contains("https://hub.example/a/b"));
        assert!(of_status(403, None).contains("ask for it at https://hub.example/a/b"));
        assert!(of_status(503, None).contains("503"));
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_connection() {
        let model = HubModel { repository: "a/b".into(), selection: Selection::Any, revision: None };
        let of =
            |kind: io::ErrorKind| HubError::of_transfer(ApiError::IoError(kind.into()), "f", &settings(None), &model);
        assert!(matches!(of(io::ErrorKind::StorageFull), HubError::DiskFull { .. }));
        assert!(matches!(of(io::ErrorKind::PermissionDenied), HubError::Cache { .. }));
        assert!(matches!(of(io::ErrorKind::ConnectionReset), HubError::BrokeOff { .. }));
        assert!(matches!(of(io::ErrorKind::UnexpectedEof), HubError::BrokeOff { .. }));
    }
}

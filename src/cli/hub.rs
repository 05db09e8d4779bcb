//! Models by name: downloads what a run needs from the Hugging Face hub into the standard cache.
//!
//! hf-hub lays out the cache, asks for the files and resumes a transfer. What it leaves open is done here: which files
//! a model needs, retries, the check against the hub's SHA-256, reuse of a file that a new commit did not change, and
//! the cache alone when the hub is out of reach.

mod choice;
mod download;
mod error;
mod settings;
mod watchdog;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::model_path::{HubModel, ModelSource};
use super::terminal::note;
use choice::{choose, shards_of_index};
use download::Downloader;
pub use error::HubError;
use settings::Settings;

const DEFAULT_REVISION: &str = "main";

/// The GGUF file or the folder of what the user calls a model, downloaded where it is a name on the hub.
///
/// # Errors
/// There is no such model, or see [`HubError`].
pub fn find(model: &OsStr, quiet: bool) -> anyhow::Result<PathBuf> {
    match ModelSource::parse(model)? {
        ModelSource::Local(path) => Ok(path),
        ModelSource::Hub(model) => Ok(fetch(&model, quiet)?),
    }
}

/// Puts the model's files into the cache, unless they are there, and returns the GGUF file or the folder to load.
///
/// # Errors
/// See [`HubError`]. What was downloaded stays, and the next call goes on from there.
fn fetch(model: &HubModel, quiet: bool) -> Result<PathBuf, HubError> {
    let settings = Settings::from_env()?;
    let revision = model.revision.as_deref().unwrap_or(DEFAULT_REVISION);
    let snapshot = Snapshot::new(&settings, model, revision);
    if settings.offline {
        return snapshot.cached(model)?.ok_or_else(|| HubError::NotCached { model: model.to_string() });
    }
    match snapshot.download(&settings, model, quiet) {
        Err(HubError::Offline { model: wanted, host, reason }) => match snapshot.cached(model)? {
            Some(path) => {
                if !quiet {
                    note(&format!("wgpt: {host} cannot be reached, so {model} comes from the cache"));
                }
                Ok(path)
            }
            None => Err(HubError::Offline { model: wanted, host, reason }),
        },
        outcome => outcome,
    }
}

/// A revision of a repository, on the hub and in the cache.
struct Snapshot {
    cache: Cache,
    repository: String,
    revision: String,
}

impl Snapshot {
    fn new(settings: &Settings, model: &HubModel, revision: &str) -> Self {
        let cache = Cache::new(settings.cache.clone());
        Self { cache, repository: model.repository.clone(), revision: revision.to_owned() }
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repository.clone(), RepoType::Model, revision.to_owned())
    }

    fn cached_repo(&self) -> CacheRepo {
        self.cache.repo(self.repo(&self.revision))
    }

    fn download(&self, settings: &Settings, model: &HubModel, quiet: bool) -> Result<PathBuf, HubError> {
        let api = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(settings.endpoint.clone())
            .with_token(settings.token.clone())
            .with_user_agent("wgpt", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| HubError::of_request(error, settings, model))?;
        let named = api.repo(self.repo(&self.revision));
        let info = watchdog::watched(settings.patience, move |_| named.info())
            .ok_or_else(|| HubError::no_answer(settings, model))?
            .map_err(|error| HubError::of_request(error, settings, model))?;
        if !download::is_plain_name(&info.sha) {
            return Err(HubError::BadReply { host: settings.host(), what: "a commit that is no name".to_owned() });
        }
        let names: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        let choice = choose(&names, model)?;

        // By commit, so that all files belong together even if the branch moves meanwhile.
        let downloader = Downloader {
            repo: self.repo(&info.sha),
            cached: self.cache.repo(self.repo(&info.sha)),
            snapshot: self.cached_repo().pointer_path(&info.sha),
            api: &api,
            settings,
            model,
            quiet,
        };
        let mut paths = downloader.fetch_all(choice.files())?;
        if let Some(index) = choice.index() {
            let shards = shards_of_index(&downloader.snapshot.join(index), model)?;
            paths.extend(downloader.fetch_all(&shards)?);
        }
        // Last, so that the name never points at a commit of which something is missing.
        self.cached_repo().create_ref(&info.sha).map_err(|source| HubError::of_cache(source, settings))?;
        tracing::debug!(%model, commit = info.sha, files = paths.len(), "in the cache");
        Ok(choice.path_to_load(&downloader.snapshot))
    }

    /// The model as it lies in the cache; none unless all of it is there.
    fn cached(&self, model: &HubModel) -> Result<Option<PathBuf>, HubError> {
        let Some(folder) = self.cached_folder() else { return Ok(None) };
        let names = files_below(&folder);
        let Ok(choice) = choose(&names, model) else { return Ok(None) };
        let mut files = choice.files().to_vec();
        if let Some(index) = choice.index() {
            files.extend(shards_of_index(&folder.join(index), model)?);
        }
        let is_good = |file: &String| names.contains(file) && !download::marker(&folder, file).exists();
        Ok(files.iter().all(is_good).then(|| choice.path_to_load(&folder)))
    }

    fn cached_folder(&self) -> Option<PathBuf> {
        let refs = self.cache.path().join(self.repo(&self.revision).folder_name()).join("refs");
        let by_commit = || Some(self.revision.clone());
        let commit = std::fs::read_to_string(refs.join(&self.revision)).ok().or_else(by_commit)?;
        let commit = commit.trim();
        let folder = self.cached_repo().pointer_path(commit);
        (download::is_plain_name(commit) && folder.is_dir()).then_some(folder)
    }
}

/// The files of a snapshot, named as on the hub (`/` between folders).
fn files_below(folder: &Path) -> Vec<String> {
    fn visit(folder: &Path, prefix: &str, names: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // Follows the link: one into the void is no file.
            match std::fs::metadata(entry.path()) {
                Ok(kind) if kind.is_dir() => visit(&entry.path(), &format!("{name}/"), names),
                Ok(_) => names.push(name),
                Err(_) => {}
            }
        }
    }
    let mut names = Vec::new();
    visit(folder, "", &mut names);
    names
}

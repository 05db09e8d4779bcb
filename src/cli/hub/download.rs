//! One file from the hub to the cache: resumed, retried and checked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiRepo, Metadata};
use hf_hub::{CacheRepo, Repo};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::error::HubError;
use super::settings::Settings;
use super::watchdog::{Pulse, watched};
use crate::cli::figures::size;
use crate::cli::model_path::HubModel;
use crate::cli::terminal::{byte_bar, note};

/// How often a transfer that broke off is taken up again, and how long to wait before each.
const RETRY_WAITS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];
/// Below this a download is over before a line about it is read.
const WORTH_A_LINE: usize = 1 << 20;

/// Fetches files of one commit.
pub struct Downloader<'a> {
    pub api: &'a Api,
    /// The repository at the commit.
    pub repo: Repo,
    pub cached: CacheRepo,
    /// The folder of the commit in the cache.
    pub snapshot: PathBuf,
    pub settings: &'a Settings,
    pub model: &'a HubModel,
    pub quiet: bool,
}

impl Downloader<'_> {
    /// Fetches the files in order and returns where they are.
    ///
    /// # Errors
    /// The first file that could not be fetched, see [`HubError`].
    pub fn fetch_all(&self, files: &[String]) -> Result<Vec<PathBuf>, HubError> {
        files.iter().map(|file| self.fetch(file)).collect()
    }

    fn fetch(&self, file: &str) -> Result<PathBuf, HubError> {
        if !is_safe_path(file) {
            return Err(self.bad_reply(format!("the file name {file:?}")));
        }
        let path = self.snapshot.join(file);
        let marker = marker(&self.snapshot, file);
        if path.exists() && !marker.exists() {
            return Ok(path);
        }
        let metadata = self.metadata(file)?;
        let blob = self.cached.blob_path(metadata.etag());
        // hf-hub moves a file into place unchecked. The mark outlives this process, so that a file which was not
        // checked in time is checked the next time.
        self.in_cache(create_file(&marker))?;
        if path.exists() || has_length(&blob, metadata.size()) {
            if !path.exists() {
                self.in_cache(link(&blob, &path))?;
            }
        } else {
            self.transfer(file, &blob, metadata.size())?;
        }
        self.check(file, &path, &blob, &metadata)?;
        self.in_cache(fs::remove_file(&marker))?;
        Ok(path)
    }

    fn files(&self) -> ApiRepo {
        self.api.repo(self.repo.clone())
    }

    fn metadata(&self, file: &str) -> Result<Metadata, HubError> {
        let url = self.files().url(file);
        let api = self.api.clone();
        let metadata = watched(self.settings.patience, move |_| api.metadata(&url))
            .ok_or_else(|| HubError::no_answer(self.settings, self.model))?;
        let metadata = metadata.map_err(|error| HubError::of_request(error, self.settings, self.model))?;
        // Both become names of files; a weak ETag has a slash in it.
        if !is_safe_path(metadata.etag()) || !is_plain_name(metadata.commit_hash()) {
            return Err(self.bad_reply(format!("headers for {file} that make no sense")));
        }
        Ok(metadata)
    }

    /// Downloads the file into the cache, going on where an earlier transfer ended.
    fn transfer(&self, file: &str, blob: &Path, bytes: usize) -> Result<(), HubError> {
        let bar = byte_bar(bytes as u64, file, self.quiet);
        if bar.is_hidden() && !self.quiet && bytes >= WORTH_A_LINE {
            note(&format!("wgpt: downloading {file} ({})", size(bytes as u64)));
        }
        let mut waits = RETRY_WAITS.iter();
        let outcome = loop {
            self.in_cache(make_resumable(&blob.with_extension("part"), bytes as u64))?;
            let (files, name, shown) = (self.files(), file.to_owned(), bar.clone());
            let outcome = watched(self.settings.patience, move |pulse| {
                files.download_with_progress(&name, Bar { shown, pulse: pulse.clone() })
            });
            // No second attempt: the first still holds the file's lock, and ends with this process.
            let Some(outcome) = outcome else {
                bar.finish_and_clear();
                let seconds = self.settings.patience.as_secs();
                return Err(HubError::StoodStill { file: file.to_owned(), seconds });
            };
            match outcome.map_err(|error| HubError::of_transfer(error, file, self.settings, self.model)) {
                Err(HubError::BrokeOff { reason, .. }) if waits.len() > 0 => {
                    tracing::info!(file, reason, "the transfer broke off");
                    waits.next().copied().into_iter().for_each(thread::sleep);
                }
                outcome => break outcome,
            }
        };
        bar.finish_and_clear();
        outcome.map(|_| ())
    }

    /// Compares the file with what the hub says about it, and deletes it where they differ.
    ///
    /// The ETag of a large file is its SHA-256. That of a small one is git's SHA-1, and its length has to do.
    fn check(&self, file: &str, path: &Path, blob: &Path, metadata: &Metadata) -> Result<(), HubError> {
        let length = self.in_cache(fs::metadata(path))?.len();
        let reason = if length != metadata.size() as u64 {
            format!("{length} bytes came of {}", metadata.size())
        } else if is_sha256(metadata.etag()) && !self.in_cache(sha256(path))?.eq_ignore_ascii_case(metadata.etag()) {
            "its SHA-256 is not the one that the hub states".to_owned()
        } else {
            return Ok(());
        };
        self.in_cache(fs::remove_file(path))?;
        // On systems without links the file itself was at the path.
        if blob.exists() {
            self.in_cache(fs::remove_file(blob))?;
        }
        Err(HubError::Corrupt { file: file.to_owned(), reason })
    }

    fn in_cache<T>(&self, outcome: io::Result<T>) -> Result<T, HubError> {
        outcome.map_err(|source| HubError::of_cache(source, self.settings))
    }

    fn bad_reply(&self, what: String) -> HubError {
        HubError::BadReply { host: self.settings.host(), what }
    }
}

/// The mark of a file that is in the snapshot, or on its way there, and has not been checked.
///
/// It lies beside the folder of snapshots, where no other tool looks for files.
pub fn marker(snapshot: &Path, file: &str) -> PathBuf {
    let commit = snapshot.file_name().unwrap_or_default();
    let repository = snapshot.parent().and_then(Path::parent).unwrap_or(snapshot);
    repository.join(".wgpt-unchecked").join(commit).join(file.replace('/', "--"))
}

fn create_file(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    File::create(path).map(|_| ())
}

/// Sees to it that hf-hub asks for at least one byte of the rest: it would ask for a range that does not exist after
/// a transfer that ended between its last byte and the move into place, and refuse one that is too long, for ever.
fn make_resumable(part: &Path, bytes: u64) -> io::Result<()> {
    let Ok(present) = fs::metadata(part) else { return Ok(()) };
    if present.len() < bytes {
        return Ok(());
    }
    if present.len() > bytes || bytes == 0 {
        return fs::remove_file(part);
    }
    File::options().write(true).open(part)?.set_len(bytes - 1)
}

fn has_length(path: &Path, bytes: usize) -> bool {
    fs::metadata(path).is_ok_and(|present| present.is_file() && present.len() == bytes as u64)
}

/// Gives a file of the cache its name in a snapshot.
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    // A link into the void is in the way.
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    fs::hard_link(blob, path)
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the hub's text can be the name of a file in the cache.
pub fn is_plain_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.chars().all(allowed)
}

/// Whether the hub's path stays in the folder that it is put in.
pub fn is_safe_path(text: &str) -> bool {
    let parts = || Path::new(text).components();
    !text.contains('\\') && parts().next().is_some() && parts().all(|part| matches!(part, Component::Normal(_)))
}

/// hf-hub's progress on our bar; it announces the length anew at each attempt.
struct Bar {
    shown: ProgressBar,
    pulse: Pulse,
}

impl Progress for Bar {
    fn init(&mut self, size: usize, _: &str) {
        self.pulse.beat();
        self.shown.set_length(size as u64);
        self.shown.set_position(0);
    }

    fn update(&mut self, size: usize) {
        self.pulse.beat();
        self.shown.inc(size as u64);
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_hub_stay_in_their_folder() {
        for name in ["a.gguf", "Q4/a.gguf", "..a"] {
            assert!(is_safe_path(name), "{name}");
        }
        for name in ["", "/a", "../a", "a/../../b", "./a", r"a\b"] {
            assert!(!is_safe_path(name), "{name}");
        }
        assert!(is_plain_name("0123abc-2"));
        for name in ["", "..", ".a", "a/b", r"a\b", "é"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }

    #[test]
    fn a_part_of_the_full_length_is_cut_by_a_byte_and_a_longer_one_is_dropped() {
        let folder = tempfile::tempdir().expect("folder");
        let part = folder.path().join("x.part");
        for (present, left) in [(3, Some(3)), (10, Some(9)), (11, None)] {
            fs::write(&part, vec![0; present]).expect("written");
            make_resumable(&part, 10).expect("resumable");
            assert_eq!(fs::metadata(&part).ok().map(|part| part.len()), left);
        }
        make_resumable(&part, 10).expect("nothing to do without a part");
    }

    #[test]
    fn the_hash_is_sha256_of_the_whole_file() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("x");
        fs::write(&file, "abc").expect("written");
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file).expect("read"), expected);
        assert!(is_sha256(expected));
        assert!(!is_sha256("0a1b2c"));
    }

    #[test]
    fn markers_of_different_files_differ_and_lie_outside_the_snapshot() {
        let snapshot = Path::new("r/snapshots/c");
        assert_ne!(marker(snapshot, "a/b"), marker(snapshot, "a"));
        assert!(!marker(snapshot, "a").starts_with("r/snapshots"));
    }
}

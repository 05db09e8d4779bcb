//! Files that spare a later process some work. Any of them may be missing, old or damaged: it is then made again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The layout of the files, and what the names in them mean.
const FORMAT: u32 = 4;
/// Nothing that is kept is as large as this.
const MOST_BYTES: u64 = 1 << 30;
/// Characters of an adapter's name in a file's name.
const NAME_LENGTH: usize = 48;

/// Where and with what something was made; it is good for the same alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub adapter: String,
    pub backend: String,
    pub vendor_id: u32,
    pub device_id: u32,
    /// Name and version.
    pub driver: String,
    /// wgpt's version.
    pub wgpt: String,
}

impl Origin {
    /// A file name for each adapter; a new driver's file takes the place of the old one's.
    fn file_name(&self, kind: &str) -> String {
        let lower = self.adapter.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name: String = words.collect::<Vec<_>>().join("-").chars().take(NAME_LENGTH).collect();
        format!("{kind}-{}-{:x}-{:x}-{name}.cache", self.backend, self.vendor_id, self.device_id)
    }
}

/// The first line of a file; what is kept follows.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    /// Of all that follows the line, in hexadecimal digits.
    sha256: String,
    origin: Origin,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
#[error("{} is not used: {reason}", .path.display())]
pub struct Ignored {
    path: PathBuf,
    reason: String,
}

impl Ignored {
    pub fn new(path: &Path, reason: impl Into<String>) -> Ignored {
        Ignored { path: path.to_owned(), reason: reason.into() }
    }
}

/// A file of some kind for one adapter.
#[derive(Clone, Debug)]
pub struct CacheFile {
    path: PathBuf,
    origin: Origin,
}

impl CacheFile {
    /// In a folder, which need not exist.
    pub fn new(folder: &Path, kind: &str, origin: Origin) -> CacheFile {
        CacheFile { path: folder.join(origin.file_name(kind)), origin }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept, if anything was.
    ///
    /// # Errors
    /// The file is damaged, or of another driver or version.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Ignored> {
        let ignored = |reason: &str| Ignored::new(&self.path, reason);
        let bytes = match read_at_most(&self.path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ignored(&format!("it cannot be read ({error})"))),
        };
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Err(ignored("it is damaged")) };
        let (line, kept) = (&bytes[..end], &bytes[end + 1..]);
        let header: Header = serde_json::from_slice(line).map_err(|_| ignored("it is damaged"))?;
        if header.format != FORMAT || header.origin.wgpt != self.origin.wgpt {
            return Err(ignored("another version of wgpt made it"));
        }
        if header.origin != self.origin {
            return Err(ignored("it was made with another driver"));
        }
        if header.sha256 != sha256(kept) {
            return Err(ignored("it is damaged"));
        }
        Ok(Some(kept.to_vec()))
    }

    /// Keeps something, in place of what was kept before: whoever reads meanwhile sees the one or the other.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, kept: &[u8]) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let header = Header { format: FORMAT, sha256: sha256(kept), origin: self.origin.clone() };
        let mut file = tempfile::Builder::new().prefix(".wgpt-").suffix(".part").tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(&header)?)?;
        file.write_all(b"\n")?;
        file.write_all(kept)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            adapter: "Example GPU (LLVM 15)".into(),
            backend: "vulkan".into(),
            vendor_id: 0x10005,
            device_id: 0,
            driver: "example 1.2".into(),
            wgpt: "0.1.0".into(),
        }
    }

    fn reason(file: &CacheFile) -> String {
        file.read().expect_err("ignored").to_string()
    }

    #[test]
    fn what_was_kept_is_found_by_the_same_adapter_driver_and_version() {
        let folder = tempfile::tempdir().expect("folder");
        let below = folder.path().join("not/there/yet");
        let file = CacheFile::new(&below, "pipelines", origin());
        assert!(file.read().expect("missing is no fault").is_none());
        for kept in [&b"some\nbytes\0"[..], b"", b"others"] {
            file.write(kept).expect("written");
            assert_eq!(file.read().expect("good").as_deref(), Some(kept));
        }
        let names = fs::read_dir(&below).expect("folder").map(|entry| entry.expect("entry").file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["pipelines-vulkan-10005-0-example-gpu-llvm-15.cache"], "and no other");
        assert!(CacheFile::new(&below, "tuning", origin()).read().expect("another kind").is_none());
        let other = Origin { device_id: 1, ..origin() };
        assert!(CacheFile::new(&below, "pipelines", other).read().expect("another adapter").is_none());
    }

    #[test]
    fn what_is_stale_or_damaged_is_ignored_with_a_reason() {
        let folder = tempfile::tempdir().expect("folder");
        let file = CacheFile::new(folder.path(), "pipelines", origin());
        file.write(b"some bytes").expect("written");
        let with = |origin: Origin| CacheFile::new(folder.path(), "pipelines", origin);
        let newer = Origin { driver: "example 1.3".into(), ..origin() };
        assert!(reason(&with(newer)).ends_with("another driver"), "{}", reason(&file));
        let later = Origin { wgpt: "0.2.0".into(), ..origin() };
        assert!(reason(&with(later)).ends_with("another version of wgpt made it"));

        let good = fs::read(file.path()).expect("readable");
        for length in 0..good.len() {
            fs::write(file.path(), &good[..length]).expect("cut off");
            assert!(reason(&file).ends_with("damaged"), "{length} bytes of {}", good.len());
        }
        let mut flipped = good.clone();
        *flipped.last_mut().expect("a byte") ^= 1;
        fs::write(file.path(), flipped).expect("written");
        assert!(reason(&file).ends_with("damaged"));
        fs::write(file.path(), b"\n\n").expect("written");
        assert!(reason(&file).ends_with("damaged"));
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_or_written_is_said_and_is_no_panic() {
        let folder = tempfile::tempdir().expect("folder");
        let occupied = folder.path().join("file");
        fs::write(&occupied, b"").expect("written");
        let file = CacheFile::new(&occupied, "pipelines", origin());
        assert!(file.write(b"x").is_err());
        assert!(reason(&file).contains("cannot be read"));
    }
}

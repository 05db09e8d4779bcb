//! A model on disk, whatever its format.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::file::WeightFile;
use super::stored::{StoredFile, StoredTensor};
use super::{DType, FormatError, gguf, huggingface};

/// What a checkpoint says about a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name that the file gives it.
    pub name: String,
    /// Row-major, outermost dimension first: `[out, in]` for a linear layer, GGUF's dimensions reversed. A scalar has
    /// none.
    pub shape: Vec<usize>,
    /// How its elements are stored. In a block type each row (last dimension) is whole blocks.
    pub dtype: DType,
    file: usize,
    offset: u64,
    len: usize,
}

impl TensorInfo {
    /// The bytes it takes in the file.
    pub fn size_bytes(&self) -> u64 {
        self.len as u64
    }
}

/// What a checkpoint says about its model, in its own words.
#[derive(Clone, Debug, PartialEq)]
pub enum Description {
    /// The contents of `config.json` and `generation_config.json`, which are JSON objects.
    HuggingFace { config: serde_json::Value, generation_config: Option<serde_json::Value> },
    /// The metadata of the (first) GGUF file.
    Gguf(gguf::Metadata),
}

/// An open checkpoint. Opening reads the headers of its files only; tensors are read when they are asked for.
///
/// ```no_run
/// use wgpt::formats::{Checkpoint, blocks};
///
/// let checkpoint = Checkpoint::open("model.gguf".as_ref())?;
/// for tensor in checkpoint.tensors() {
///     let mut values = vec![0.0; tensor.shape.iter().product()];
///     blocks::dequantize(tensor.dtype, &checkpoint.bytes(tensor)?, &mut values)?;
///     println!("{} {:?} {} {:?}", tensor.name, tensor.shape, tensor.dtype, values.first());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    description: Description,
    files: Vec<WeightFile>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl Checkpoint {
    /// Opens a model:
    /// - a GGUF file, recognised by its first bytes whatever its name; the first part of a split model opens them all;
    /// - a Hugging Face folder, or `config.json` or a safetensors file in it, which stand for the folder;
    /// - a folder that holds exactly one GGUF model and no safetensors.
    ///
    /// Tokenizer files are not looked at; they are in the folder [`Checkpoint::path`].
    ///
    /// # Errors
    /// [`FormatError`], also for damaged and hostile files. Memory stays within a small multiple of the headers' size.
    pub fn open(path: &Path) -> Result<Checkpoint, FormatError> {
        if path.is_dir() {
            return Checkpoint::open_folder(path);
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named_gguf = Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        if named_gguf || gguf::has_magic(&first_bytes(path)?) {
            Checkpoint::open_gguf(path)
        } else if huggingface::is_member(name) {
            match path.parent() {
                Some(folder) if folder != Path::new("") => Checkpoint::open_huggingface(folder),
                _ => Checkpoint::open_huggingface(Path::new(".")),
            }
        } else {
            Err(FormatError::UnknownFile { path: path.to_owned() })
        }
    }

    /// What the checkpoint says about its model.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The Hugging Face folder or the (first) GGUF file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).and_then(|&index| self.tensors.get(index))
    }

    /// All tensors, file by file in the order in which they are stored or listed.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// The stored bytes of a tensor of this checkpoint: all its rows, in its storage type, little-endian.
    ///
    /// # Errors
    /// As those of [`Checkpoint::read`].
    pub fn bytes(&self, tensor: &TensorInfo) -> Result<Vec<u8>, FormatError> {
        let mut bytes = vec![0; tensor.len];
        self.read(tensor, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `out` with the stored bytes of a tensor from its byte `offset` on, so that a large tensor can be taken in
    /// pieces.
    ///
    /// # Errors
    /// [`FormatError::BeyondTensor`] where the tensor has fewer bytes, [`FormatError::Shrank`] if the file has lost
    /// them since it was opened, [`FormatError::Io`] where the disk fails, and [`FormatError::ForeignTensor`] for a
    /// tensor of another checkpoint.
    pub fn read(&self, tensor: &TensorInfo, offset: usize, out: &mut [u8]) -> Result<(), FormatError> {
        let own = self.tensor(&tensor.name).filter(|own| *own == tensor);
        let Some(file) = own.and_then(|own| self.files.get(own.file)) else {
            return Err(FormatError::ForeignTensor { path: self.path.clone(), tensor: tensor.name.clone() });
        };
        if offset > tensor.len || out.len() > tensor.len - offset {
            return Err(FormatError::BeyondTensor { tensor: tensor.name.clone(), len: tensor.len });
        }
        file.read_at(tensor.offset + offset as u64, out)
    }

    /// The bytes of all tensors in their storage types.
    pub fn size_bytes(&self) -> u64 {
        self.tensors.iter().map(TensorInfo::size_bytes).sum()
    }

    fn open_folder(folder: &Path) -> Result<Checkpoint, FormatError> {
        if huggingface::is_model(folder) {
            return Checkpoint::open_huggingface(folder);
        }
        let mut found = None;
        for entry in std::fs::read_dir(folder).map_err(FormatError::io(folder))? {
            let path = entry.map_err(FormatError::io(folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if gguf::model_stem(name).is_none() || gguf::is_later_part(name) || !path.is_file() {
                continue;
            }
            if found.replace(path).is_some() {
                return Err(FormatError::SeveralModels { path: folder.to_owned() });
            }
        }
        Checkpoint::open_gguf(&found.ok_or_else(|| FormatError::NoModel { path: folder.to_owned() })?)
    }

    fn open_huggingface(folder: &Path) -> Result<Checkpoint, FormatError> {
        if !huggingface::is_model(folder) {
            return Err(FormatError::NoModel { path: folder.to_owned() });
        }
        let huggingface::Folder { config, generation_config, files } = huggingface::open(folder)?;
        Checkpoint::assemble(folder, Description::HuggingFace { config, generation_config }, files)
    }

    fn open_gguf(path: &Path) -> Result<Checkpoint, FormatError> {
        let (metadata, files) = gguf::open(path)?;
        Checkpoint::assemble(path, Description::Gguf(metadata), files)
    }

    fn assemble(path: &Path, description: Description, parts: Vec<StoredFile>) -> Result<Checkpoint, FormatError> {
        let mut files = Vec::with_capacity(parts.len());
        let mut tensors: Vec<TensorInfo> = Vec::with_capacity(parts.iter().map(|(_, stored)| stored.len()).sum());
        let mut by_name = HashMap::with_capacity(tensors.capacity());
        for (file, (opened, stored)) in parts.into_iter().enumerate() {
            files.push(opened);
            for StoredTensor { name, shape, dtype, offset, len } in stored {
                if by_name.insert(name.clone(), tensors.len()).is_some() {
                    return Err(FormatError::DuplicateTensor { path: path.to_owned(), tensor: name });
                }
                tensors.push(TensorInfo { name, shape, dtype, file, offset, len });
            }
        }
        Ok(Checkpoint { path: path.to_owned(), description, files, tensors, by_name })
    }
}

/// Up to four bytes of a regular file.
fn first_bytes(path: &Path) -> Result<Vec<u8>, FormatError> {
    if !std::fs::metadata(path).map_err(FormatError::io(path))?.is_file() {
        return Err(FormatError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut bytes)).map_err(FormatError::io(path))?;
    Ok(bytes)
}

//! Lays tensors out in a few large buffers, before anything is allocated, and uploads them in pieces.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ModelError;
use crate::formats::{Checkpoint, DType, TensorInfo, blocks};
use crate::kernels::WeightSlices;
use crate::kernels::weight_layout::{GROUP, PLANES, repack, row_words};
use crate::recording::{BufferId, Executor, MemoryLimits, Slice};

/// Storage slices start at multiples of this: wgpu's default offset alignment.
const ALIGNMENT: u64 = 256;
/// Large enough for few buffers, small enough for any device's largest.
const ARENA: u64 = 256 << 20;
/// Bytes of the file that are repacked at once.
const PIECE: usize = 4 << 20;
/// Bytes written before the device is waited for, so that staging memory is freed.
const FLUSH: u64 = 16 << 20;

/// What a tensor is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Rows for matrix products and look-ups, in its storage type.
    Matrix,
    /// A norm's weight or a bias, in f32.
    Vector,
}

/// A tensor to upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub tensor: &'a TensorInfo,
    pub role: Role,
}

/// Where a tensor lies.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Of a matrix.
    pub shards: Vec<WeightSlices>,
    /// Of a vector: the slice itself. Of a matrix: its first plane.
    pub vector: Slice,
}

/// Where the time of an upload went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadTimings {
    /// Reading the file, and laying its blocks out as the kernels want them.
    pub read: Duration,
    /// Handing them to the device.
    pub upload: Duration,
}

/// The layout of all tensors; buffer ids count arenas until they are allocated.
pub(super) struct Plan<'a> {
    items: Vec<(Item<'a>, Placed)>,
    arenas: Vec<u64>,
}

impl<'a> Plan<'a> {
    pub fn new(items: Vec<Item<'a>>, limits: MemoryLimits) -> Result<Plan<'a>, ModelError> {
        let mut plan = Plan { items: Vec::with_capacity(items.len()), arenas: Vec::new() };
        let arena_limit = ARENA.max(limits.max_binding).min(limits.max_buffer);
        for item in items {
            let placed = match item.role {
                Role::Vector => {
                    let elements: usize = item.tensor.shape.iter().product();
                    let slice = plan.place(4 * elements as u64, arena_limit);
                    Placed { shards: Vec::new(), vector: slice }
                }
                Role::Matrix => plan.place_matrix(item.tensor, limits, arena_limit)?,
            };
            plan.items.push((item, placed));
        }
        Ok(plan)
    }

    /// Bytes of all tensors on the device.
    pub fn bytes(&self) -> u64 {
        self.arenas.iter().sum()
    }

    /// Cuts a matrix by rows so that each plane of a shard can be bound.
    fn place_matrix(
        &mut self,
        tensor: &TensorInfo,
        limits: MemoryLimits,
        arena_limit: u64,
    ) -> Result<Placed, ModelError> {
        let [rows, k] = tensor.shape[..] else {
            let expected = vec![0, 0];
            return Err(ModelError::Shape { name: tensor.name.clone(), found: tensor.shape.clone(), expected });
        };
        if !k.is_multiple_of(GROUP) {
            return Err(ModelError::RowLength { name: tensor.name.clone(), k });
        }
        let words = row_words(tensor.dtype, k);
        let widest = 4 * words.iter().copied().max().unwrap_or(0) as u64;
        let most = (limits.max_binding.min(arena_limit) / widest) as usize;
        if most == 0 {
            let limit = limits.max_binding;
            return Err(ModelError::RowTooLarge { name: tensor.name.clone(), bytes: widest, limit });
        }
        let mut shards = Vec::new();
        for row0 in (0..rows).step_by(most) {
            let count = most.min(rows - row0);
            let planes = words.map(|w| (w > 0).then(|| self.place(4 * (w * count) as u64, arena_limit)));
            shards.push(WeightSlices {
                dtype: tensor.dtype,
                row0: row0 as u32,
                rows: count as u32,
                k: k as u32,
                planes,
            });
        }
        match shards.first().and_then(|shard| shard.planes[0]) {
            Some(vector) => Ok(Placed { shards, vector }),
            None => Err(ModelError::MissingTensor(tensor.name.clone())),
        }
    }

    fn place(&mut self, size: u64, arena_limit: u64) -> Slice {
        match self.arenas.last_mut() {
            Some(used) if *used + size <= arena_limit => {
                let offset = *used;
                *used = (offset + size).next_multiple_of(ALIGNMENT);
                Slice { buffer: BufferId(self.arenas.len() as u32 - 1), offset, size }
            }
            _ => {
                self.arenas.push(size.next_multiple_of(ALIGNMENT));
                Slice { buffer: BufferId(self.arenas.len() as u32 - 1), offset: 0, size }
            }
        }
    }

    /// Allocates the arenas, without anything in them yet.
    pub fn allocate(mut self, executor: &mut dyn Executor) -> Result<Uploads<'a>, ModelError> {
        let mut arenas = Vec::with_capacity(self.arenas.len());
        for bytes in &self.arenas {
            arenas.push(executor.allocate("weights", *bytes)?);
        }
        let resolve = |slice: &mut Slice| slice.buffer = arenas[slice.buffer.0 as usize];
        for (_, placed) in &mut self.items {
            resolve(&mut placed.vector);
            placed.shards.iter_mut().flat_map(|shard| shard.planes.iter_mut().flatten()).for_each(resolve);
        }
        Ok(Uploads { items: self.items })
    }
}

/// The tensors whose places on the device exist and hold nothing yet.
pub(super) struct Uploads<'a> {
    items: Vec<(Item<'a>, Placed)>,
}

impl Uploads<'_> {
    /// Where each tensor will lie, by name.
    pub fn placed(&self) -> HashMap<String, Placed> {
        self.items.iter().map(|(item, placed)| (item.tensor.name.clone(), placed.clone())).collect()
    }

    /// Uploads every tensor; `progress` gets the bytes of the files that are done.
    pub fn run(
        self,
        executor: &mut dyn Executor,
        checkpoint: &Checkpoint,
        progress: &mut dyn FnMut(u64),
    ) -> Result<UploadTimings, ModelError> {
        let started = Instant::now();
        let mut uploader =
            Uploader { executor, checkpoint, piece: Vec::new(), unflushed: 0, handing_over: Duration::ZERO };
        let mut done = 0;
        for (item, placed) in self.items {
            match item.role {
                Role::Vector => uploader.vector(item.tensor, placed.vector)?,
                Role::Matrix => {
                    for shard in &placed.shards {
                        uploader.shard(item.tensor, shard, &mut |piece| progress(done + piece))?;
                    }
                }
            }
            done += item.tensor.size_bytes();
            progress(done);
        }
        uploader.flush()?;
        let upload = uploader.handing_over;
        Ok(UploadTimings { read: started.elapsed().saturating_sub(upload), upload })
    }
}

struct Uploader<'e> {
    executor: &'e mut dyn Executor,
    checkpoint: &'e Checkpoint,
    /// What is being repacked, in a buffer that all tensors share.
    piece: Vec<u8>,
    unflushed: u64,
    /// The time that the device has taken so far.
    handing_over: Duration,
}

impl Uploader<'_> {
    fn vector(&mut self, tensor: &TensorInfo, slice: Slice) -> Result<(), ModelError> {
        let mut values = vec![0f32; (slice.size / 4) as usize];
        blocks::dequantize(tensor.dtype, &self.checkpoint.bytes(tensor)?, &mut values)
            .map_err(|_| ModelError::RowLength { name: tensor.name.clone(), k: values.len() })?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(ModelError::NotFinite { name: tensor.name.clone(), dtype: tensor.dtype });
        }
        self.write(slice, bytemuck::cast_slice(&values))
    }

    fn shard(
        &mut self,
        tensor: &TensorInfo,
        shard: &WeightSlices,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let k = shard.k as usize;
        let row_bytes = k / tensor.dtype.block_len() * tensor.dtype.block_bytes();
        let words = row_words(tensor.dtype, k);
        let rows_at_once = (PIECE / row_bytes).max(1);
        let (row0, rows) = (shard.row0 as usize, shard.rows as usize);
        let mut planes: [Vec<u32>; PLANES] = Default::default();
        for first in (0..rows).step_by(rows_at_once) {
            let count = rows_at_once.min(rows - first);
            self.piece.resize(count * row_bytes, 0);
            self.checkpoint.read(tensor, (row0 + first) * row_bytes, &mut self.piece)?;
            if !scales_are_finite(tensor.dtype, &self.piece) {
                return Err(ModelError::NotFinite { name: tensor.name.clone(), dtype: tensor.dtype });
            }
            planes.iter_mut().for_each(Vec::clear);
            repack(tensor.dtype, k, &self.piece, &mut planes);
            for ((plane, slice), words) in planes.iter().zip(shard.planes).zip(words) {
                if let Some(slice) = slice {
                    let skipped = 4 * (first * words) as u64;
                    let part =
                        Slice { buffer: slice.buffer, offset: slice.offset + skipped, size: slice.size - skipped };
                    self.write(part, bytemuck::cast_slice(plane))?;
                }
            }
            progress(((row0 + first + count) * row_bytes) as u64);
        }
        Ok(())
    }

    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), ModelError> {
        let started = Instant::now();
        self.executor.write(slice, bytes)?;
        self.handing_over += started.elapsed();
        self.unflushed += bytes.len() as u64;
        if self.unflushed >= FLUSH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ModelError> {
        let started = Instant::now();
        self.executor.flush()?;
        self.handing_over += started.elapsed();
        self.unflushed = 0;
        Ok(())
    }
}

/// Whether no scale (of a block type) or value (of a float type) is NaN or infinite.
fn scales_are_finite(dtype: DType, bytes: &[u8]) -> bool {
    let exponent_16 = |offset: usize, mask: u16| {
        move |block: &[u8]| u16::from_le_bytes([block[offset], block[offset + 1]]) & mask != mask
    };
    const F16: u16 = 0x7c00;
    let every = |holds: &dyn Fn(&[u8]) -> bool| bytes.chunks_exact(dtype.block_bytes()).all(holds);
    match dtype {
        DType::F32 => every(&exponent_16(2, 0x7f80)),
        DType::F16 => every(&exponent_16(0, F16)),
        DType::BF16 => every(&exponent_16(0, 0x7f80)),
        DType::Q4_0 | DType::Q5_0 | DType::Q8_0 => every(&exponent_16(0, F16)),
        DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => {
            every(&exponent_16(0, F16)) && every(&exponent_16(2, F16))
        }
        DType::Q6_K => every(&exponent_16(208, F16)),
    }
}

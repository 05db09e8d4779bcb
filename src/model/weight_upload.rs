//! Lays tensors out in a few large buffers, or each plane in texels of its own, before anything is allocated, and uploads them
//! in pieces.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ModelError;
use super::linear_layers::Place;
use crate::formats::{Checkpoint, DType, TensorInfo, blocks};
use crate::kernels::weight_layout::{GROUP, PLANES, ROWS_AT_ONCE, TEXEL, interleave, repack, row_words};
use crate::kernels::{Selection, WeightSlices};
use crate::recording::{BufferId, Executor, MemoryLimits, Slice, Texel};

/// Storage slices start at multiples of this: wgpu's default offset alignment.
const ALIGNMENT: u64 = 256;
/// Large enough for few buffers, small enough for any device's largest.
const ARENA: u64 = 256 << 20;
/// Bytes of the file that are repacked at once.
const PIECE: usize = 4 << 20;
/// Bytes written before the device is waited for, so that staging memory is freed.
const FLUSH: u64 = 16 << 20;

/// What tensors are used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Rows of `k` elements in their storage type, for the products of a place, or for look-ups alone.
    Matrix { dtype: DType, rows: usize, k: usize, place: Option<Place> },
    /// A norm's weight or a bias, in f32.
    Vector { len: usize },
}

/// Tensors that lie one behind the other, as one matrix or vector.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    /// At least one. What they leave out is zeros.
    pub members: Vec<Member<'a>>,
    pub role: Role,
}

impl<'a> Item<'a> {
    /// What messages about all of it name.
    pub fn name(&self) -> &'a str {
        self.members.first().map_or("", |member| &member.tensor.name)
    }
}

/// A tensor, and the first row or element that is its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub tensor: &'a TensorInfo,
    pub first: usize,
}

/// Where an item lies.
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

/// What is allocated at once.
struct Arena {
    bytes: u64,
    /// `None`: a buffer, for many slices.
    texel: Option<Texel>,
}

impl Arena {
    /// Bytes that it takes: textures have whole rows.
    fn taken(&self) -> u64 {
        self.texel.map_or(self.bytes, |texel| texel.taken(self.bytes))
    }
}

/// The layout of all tensors; buffer ids count arenas until they are allocated.
pub(super) struct Plan<'a> {
    items: Vec<(Item<'a>, Placed)>,
    arenas: Vec<Arena>,
    /// The arena that was begun last of those for many slices.
    begun: Option<usize>,
}

impl<'a> Plan<'a> {
    pub fn new(items: Vec<Item<'a>>, selection: &Selection, limits: MemoryLimits) -> Result<Plan<'a>, ModelError> {
        let mut plan = Plan { items: Vec::with_capacity(items.len()), arenas: Vec::new(), begun: None };
        let arena_limit = ARENA.max(limits.max_binding).min(limits.max_buffer);
        for item in items {
            let placed = match item.role {
                Role::Vector { len } => {
                    let slice = plan.place(4 * len as u64, arena_limit);
                    Placed { shards: Vec::new(), vector: slice }
                }
                Role::Matrix { dtype, rows, k, place } => {
                    // What no product reads is looked up from a buffer.
                    let in_texels = place.is_some() && selection.in_texels();
                    plan.place_matrix(item.name(), dtype, [rows, k], in_texels, (limits, arena_limit))?
                }
            };
            plan.items.push((item, placed));
        }
        Ok(plan)
    }

    /// Bytes of all tensors on the device.
    pub fn bytes(&self) -> u64 {
        self.arenas.iter().map(Arena::taken).sum()
    }

    /// Cuts a matrix by rows so that each plane of a shard can be bound.
    fn place_matrix(
        &mut self,
        name: &str,
        dtype: DType,
        [rows, k]: [usize; 2],
        in_texels: bool,
        (limits, arena_limit): (MemoryLimits, u64),
    ) -> Result<Placed, ModelError> {
        if !k.is_multiple_of(GROUP) {
            return Err(ModelError::RowLength { name: name.to_owned(), k });
        }
        let row_bytes = row_words(dtype, k).map(|words| 4 * words as u64);
        let limit = match in_texels {
            true => limits.most(Some(TEXEL)),
            false => limits.most(None).min(arena_limit),
        };
        // Shards begin where rows that lie together do.
        let together = if in_texels { ROWS_AT_ONCE } else { 1 };
        let mut most = rows.next_multiple_of(together);
        for bytes in row_bytes.into_iter().filter(|bytes| *bytes > 0) {
            let bytes = bytes * together as u64;
            most = most.min((limit / bytes) as usize * together);
            if most == 0 {
                return Err(ModelError::RowTooLarge { name: name.to_owned(), bytes, limit });
            }
        }
        let mut shards = Vec::new();
        for row0 in (0..rows).step_by(most.max(1)) {
            let count = most.min(rows - row0);
            let planes: [_; PLANES] = std::array::from_fn(|plane| {
                let bytes = row_bytes[plane] * count.next_multiple_of(together) as u64;
                let place = || match in_texels {
                    true => self.place_alone(bytes, Some(TEXEL)),
                    false => self.place(bytes, arena_limit),
                };
                (bytes > 0).then(place)
            });
            let (row0, rows) = (row0 as u32, count as u32);
            shards.push(WeightSlices { dtype, row0, rows, k: k as u32, planes, in_texels });
        }
        match shards.first().and_then(|shard| shard.planes[0]) {
            Some(vector) => Ok(Placed { shards, vector }),
            None => Err(ModelError::MissingTensor(name.to_owned())),
        }
    }

    fn place(&mut self, size: u64, arena_limit: u64) -> Slice {
        let begun = self.begun.and_then(|begun| Some((begun, self.arenas.get_mut(begun)?)));
        match begun {
            Some((begun, Arena { bytes: used, .. })) if *used + size <= arena_limit => {
                let offset = *used;
                *used = (offset + size).next_multiple_of(ALIGNMENT);
                Slice { buffer: BufferId(begun as u32), offset, size }
            }
            _ => {
                self.begun = Some(self.arenas.len());
                let slice = self.place_alone(size.next_multiple_of(ALIGNMENT), None);
                Slice { size, ..slice }
            }
        }
    }

    /// All of a new arena.
    fn place_alone(&mut self, size: u64, texel: Option<Texel>) -> Slice {
        self.arenas.push(Arena { bytes: size, texel });
        Slice { buffer: BufferId(self.arenas.len() as u32 - 1), offset: 0, size }
    }

    /// Allocates the arenas, without anything in them yet.
    pub fn allocate(mut self, executor: &mut dyn Executor) -> Result<Uploads<'a>, ModelError> {
        let mut arenas = Vec::with_capacity(self.arenas.len());
        for Arena { bytes, texel } in &self.arenas {
            arenas.push(match texel {
                Some(texel) => executor.allocate_texels("weights", *bytes, *texel)?,
                None => executor.allocate("weights", *bytes)?,
            });
        }
        let resolve = |slice: &mut Slice| slice.buffer = arenas[slice.buffer.0 as usize];
        for (_, placed) in &mut self.items {
            resolve(&mut placed.vector);
            placed.shards.iter_mut().flat_map(|shard| shard.planes.iter_mut().flatten()).for_each(resolve);
        }
        Ok(Uploads { items: self.items })
    }
}

/// The tensors whose places on the device exist and hold nothing yet but zeros.
pub(super) struct Uploads<'a> {
    items: Vec<(Item<'a>, Placed)>,
}

impl Uploads<'_> {
    /// Where each item will lie, by the name of its first tensor.
    pub fn placed(&self) -> HashMap<String, Placed> {
        self.items.iter().map(|(item, placed)| (item.name().to_owned(), placed.clone())).collect()
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
            for member in item.members {
                match item.role {
                    Role::Vector { .. } => uploader.vector(member, placed.vector)?,
                    Role::Matrix { .. } => {
                        for shard in &placed.shards {
                            uploader.rows(member, shard, &mut |piece| progress(done + piece))?;
                        }
                    }
                }
                done += member.tensor.size_bytes();
                progress(done);
            }
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
    /// A tensor's elements of a vector.
    fn vector(&mut self, Member { tensor, first }: Member<'_>, vector: Slice) -> Result<(), ModelError> {
        let mut values = vec![0f32; tensor.shape.iter().product()];
        blocks::dequantize(tensor.dtype, &self.checkpoint.bytes(tensor)?, &mut values)
            .map_err(|_| ModelError::RowLength { name: tensor.name.clone(), k: values.len() })?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(ModelError::NotFinite { name: tensor.name.clone(), dtype: tensor.dtype });
        }
        self.write(tail(vector, first), bytemuck::cast_slice(&values))
    }

    /// A tensor's rows of a shard.
    fn rows(
        &mut self,
        Member { tensor, first }: Member<'_>,
        shard: &WeightSlices,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        debug_assert!(first.is_multiple_of(ROWS_AT_ONCE), "{} begins among rows that lie together", tensor.name);
        let k = shard.k as usize;
        let row_bytes = k / tensor.dtype.block_len() * tensor.dtype.block_bytes();
        let words = row_words(tensor.dtype, k);
        let rows_at_once = (PIECE / row_bytes).max(1).next_multiple_of(ROWS_AT_ONCE);
        let (shard_first, shard_end) = (shard.row0 as usize, (shard.row0 + shard.rows) as usize);
        let end = shard_end.min(first + tensor.size_bytes() as usize / row_bytes);
        let mut planes: [Vec<u32>; PLANES] = Default::default();
        for row in (shard_first.max(first)..end).step_by(rows_at_once) {
            let count = rows_at_once.min(end - row);
            self.piece.resize(count * row_bytes, 0);
            self.checkpoint.read(tensor, (row - first) * row_bytes, &mut self.piece)?;
            if !scales_are_finite(tensor.dtype, &self.piece) {
                return Err(ModelError::NotFinite { name: tensor.name.clone(), dtype: tensor.dtype });
            }
            planes.iter_mut().for_each(Vec::clear);
            repack(tensor.dtype, k, &self.piece, &mut planes);
            for (plane, (words, slice)) in words.into_iter().zip(shard.planes).enumerate() {
                let Some(slice) = slice else { continue };
                let to = tail(slice, (row - shard_first) * words);
                match shard.in_texels {
                    true => {
                        let interleaved = interleave(shard.dtype, plane, words, &planes[plane]);
                        self.write(to, bytemuck::cast_slice(&interleaved))?;
                    }
                    false => self.write(to, bytemuck::cast_slice(&planes[plane]))?,
                }
            }
            progress(((row - first + count) * row_bytes) as u64);
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

/// A slice from one of its words on.
fn tail(slice: Slice, word: usize) -> Slice {
    let skipped = 4 * word as u64;
    Slice { offset: slice.offset + skipped, size: slice.size - skipped, ..slice }
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

//! Memory that shaders load and store texel by texel: a texture whose rows continue one another.

use std::ops::Range;

use crate::recording::{TEXELS_PER_ROW, Texel};

const WIDTH: u64 = TEXELS_PER_ROW as u64;

/// The most bindings of such memory that a kernel has.
const MOST_BINDINGS: u32 = 4;

/// The most texels of one allocation; none where textures are too few or too narrow.
pub(super) fn most(limits: &wgpu::Limits) -> u64 {
    let side = u64::from(limits.max_texture_dimension_2d);
    let suffices = side >= WIDTH && limits.max_storage_textures_per_shader_stage >= MOST_BINDINGS;
    if suffices { WIDTH * side } else { 0 }
}

/// How a shader sees such memory.
pub(super) fn binding_type(access: wgpu::StorageTextureAccess, texel: Texel) -> wgpu::BindingType {
    let view_dimension = wgpu::TextureViewDimension::D2;
    wgpu::BindingType::StorageTexture { access, format: format(texel), view_dimension }
}

fn format(texel: Texel) -> wgpu::TextureFormat {
    match texel {
        Texel::OneWord => wgpu::TextureFormat::R32Uint,
        Texel::TwoWords => wgpu::TextureFormat::Rg32Uint,
        Texel::FourWords => wgpu::TextureFormat::Rgba32Uint,
    }
}

/// A texture with its view.
pub(super) struct Texels {
    texture: wgpu::Texture,
    view: wgpu::TextureView,
    texel: Texel,
    bytes: u64,
}

/// Where bytes lie once the rows that they are in have been copied.
pub(super) struct Copied {
    /// Of the rows.
    pub size: u64,
    /// From there to the first of the bytes.
    pub skip: u64,
    first_row: u32,
    rows: u32,
}

impl Texels {
    /// Makes a texture for so many bytes.
    pub fn new(device: &wgpu::Device, what: &str, bytes: u64, texel: Texel) -> Texels {
        let height = (bytes / texel.bytes()).div_ceil(WIDTH).max(1) as u32;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some(what),
            size: wgpu::Extent3d { width: TEXELS_PER_ROW, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: format(texel),
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Texels { texture, view, texel, bytes }
    }

    /// For a binding of all of it that takes such texels.
    pub fn view(&self, offset: u64, texel: Texel) -> Option<&wgpu::TextureView> {
        (offset == 0 && texel == self.texel).then_some(&self.view)
    }

    /// Has bytes written before the next submit; `None` where they are no texels of it.
    pub fn write(&self, queue: &wgpu::Queue, offset: u64, bytes: &[u8]) -> Option<()> {
        let mut texels = self.texels(offset, bytes.len() as u64)?;
        let mut rest = bytes;
        while !texels.is_empty() {
            let (x, y) = (texels.start % WIDTH, texels.start / WIDTH);
            let left = texels.end - texels.start;
            // What is left of a row that was begun, or whole rows, or the beginning of one.
            let (width, height) = if x > 0 || left < WIDTH { (left.min(WIDTH - x), 1) } else { (WIDTH, left / WIDTH) };
            let (now, later) = rest.split_at((width * height * self.texel.bytes()) as usize);
            let bytes_per_row = Some((width * self.texel.bytes()) as u32);
            let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
            let extent = wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 };
            queue.write_texture(self.at(x as u32, y as u32), now, layout, extent);
            texels.start += width * height;
            rest = later;
        }
        Some(())
    }

    /// What a copy of some bytes takes; `None` where they are no texels of it.
    pub fn copied(&self, offset: u64, len: u64) -> Option<Copied> {
        let texels = self.texels(offset, len)?;
        let (first_row, end) = (texels.start / WIDTH, texels.end.div_ceil(WIDTH));
        let (row, rows) = (WIDTH * self.texel.bytes(), end - first_row);
        let skip = offset - first_row * row;
        Some(Copied { size: rows * row, skip, first_row: first_row as u32, rows: rows as u32 })
    }

    /// Copies the rows to the start of a buffer.
    pub fn copy(&self, copied: &Copied, to: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder) {
        let bytes_per_row = Some((WIDTH * self.texel.bytes()) as u32);
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row, rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: to, layout };
        let extent = wgpu::Extent3d { width: TEXELS_PER_ROW, height: copied.rows, depth_or_array_layers: 1 };
        encoder.copy_texture_to_buffer(self.at(0, copied.first_row), to, extent);
    }

    /// The texels of a range of bytes.
    fn texels(&self, offset: u64, len: u64) -> Option<Range<u64>> {
        let size = self.texel.bytes();
        let end = offset.checked_add(len).filter(|end| *end <= self.bytes)?;
        (offset.is_multiple_of(size) && len.is_multiple_of(size)).then_some(offset / size..end / size)
    }

    fn at(&self, x: u32, y: u32) -> wgpu::TexelCopyTextureInfo<'_> {
        let origin = wgpu::Origin3d { x, y, z: 0 };
        wgpu::TexelCopyTextureInfo { texture: &self.texture, mip_level: 0, origin, aspect: wgpu::TextureAspect::All }
    }
}

//! What an executor allocates: buffers, and textures that are used as memory.

use super::texels::Texels;
use crate::recording::{Access, Binding, ExecutionError, Slice};

pub(super) enum Memory {
    Buffer(wgpu::Buffer),
    Texels(Texels),
}

impl Memory {
    /// The buffer, if the slice lies within it.
    pub fn buffer(&self, slice: Slice) -> Result<&wgpu::Buffer, ExecutionError> {
        let within =
            |buffer: &wgpu::Buffer| slice.offset.checked_add(slice.size).is_some_and(|end| end <= buffer.size());
        match self {
            Memory::Buffer(buffer) if within(buffer) => Ok(buffer),
            _ => Err(ExecutionError::BadSlice(slice.buffer.0)),
        }
    }

    /// What a bind group names it by.
    pub fn resource(&self, binding: &Binding) -> Result<wgpu::BindingResource<'_>, ExecutionError> {
        let Binding { slice, access, .. } = *binding;
        match (self, access) {
            (Memory::Texels(texels), Access::LoadTexels(texel) | Access::StoreTexels(texel)) => {
                let view = texels.view(slice.offset, texel).ok_or(ExecutionError::BadSlice(slice.buffer.0))?;
                Ok(wgpu::BindingResource::TextureView(view))
            }
            (_, Access::LoadTexels(_) | Access::StoreTexels(_)) => Err(ExecutionError::BadSlice(slice.buffer.0)),
            (_, Access::Read | Access::ReadWrite) => Ok(wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: self.buffer(slice)?,
                offset: slice.offset,
                size: std::num::NonZeroU64::new(slice.size),
            })),
        }
    }

    /// Has bytes written at the start of a slice, before the next submit.
    pub fn write(&self, queue: &wgpu::Queue, slice: Slice, bytes: &[u8]) -> Result<(), ExecutionError> {
        match self {
            Memory::Buffer(_) => {
                queue.write_buffer(self.buffer(slice)?, slice.offset, bytes);
                Ok(())
            }
            Memory::Texels(texels) => {
                texels.write(queue, slice.offset, bytes).ok_or(ExecutionError::BadSlice(slice.buffer.0))
            }
        }
    }
}

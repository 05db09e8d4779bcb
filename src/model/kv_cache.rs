//! The paged KV cache: K and V of each layer in a buffer of their own, allocated once.

use super::ModelError;
use super::config::Config;
use crate::kernels::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use crate::recording::{Executor, MemoryLimits, Slice};

/// The cache's size, known before anything is allocated.
#[derive(Clone, Copy, Debug)]
pub(super) struct KvCachePlan {
    pub pages: u32,
    kv_type: KvType,
    /// Of K, or of V.
    elements_per_slot: u64,
    layers: usize,
}

impl KvCachePlan {
    /// Room for `sequences` sequences of `context` tokens.
    pub fn new(
        config: &Config,
        kv_type: KvType,
        context: usize,
        sequences: usize,
        limits: MemoryLimits,
    ) -> Result<KvCachePlan, ModelError> {
        let block = kv_type.block_len();
        if !config.head_dim.is_multiple_of(block) {
            return Err(ModelError::CacheBlocks { head_dim: config.head_dim, block });
        }
        let elements_per_slot = (config.kv_heads * config.head_dim) as u64;
        let bytes_per_slot = kv_type.element_bytes(elements_per_slot);
        let pages = context.div_ceil(PAGE_SIZE as usize) as u64 * sequences as u64;
        let bytes = pages.saturating_mul(u64::from(PAGE_SIZE)).saturating_mul(bytes_per_slot);
        if bytes > limits.max_binding || pages > u64::from(u32::MAX / PAGE_SIZE) {
            let possible = limits.max_binding / bytes_per_slot / sequences as u64 / u64::from(PAGE_SIZE);
            return Err(ModelError::ContextTooLarge {
                context,
                bytes,
                what: "KV cache",
                limit: limits.max_binding,
                possible: (possible * u64::from(PAGE_SIZE)) as usize,
            });
        }
        Ok(KvCachePlan { pages: pages as u32, kv_type, elements_per_slot, layers: config.layers.len() })
    }

    /// Elements of K, or of V, of one layer.
    fn layer_elements(&self) -> u64 {
        u64::from(self.pages) * u64::from(PAGE_SIZE) * self.elements_per_slot
    }

    /// Bytes of the whole cache.
    pub fn bytes(&self) -> u64 {
        self.layers as u64 * self.kv_type.bytes(self.layer_elements())
    }
}

/// The cache on the device.
#[derive(Debug)]
pub(super) struct KvCache {
    pub layers: Vec<CacheSlices>,
}

impl KvCache {
    pub fn allocate(plan: &KvCachePlan, executor: &mut dyn Executor) -> Result<KvCache, ModelError> {
        let elements = plan.layer_elements();
        let (each, scales) = (plan.kv_type.element_bytes(elements), plan.kv_type.scale_bytes(elements));
        let mut slice = |size| executor.allocate("the KV cache", size).map(|buffer| Slice { buffer, offset: 0, size });
        let mut layer = || {
            let (k, v) = (slice(each)?, slice(each)?);
            let scales = if scales == 0 { None } else { Some(slice(scales)?) };
            Ok(CacheSlices { k, v, scales })
        };
        let layers = (0..plan.layers).map(|_| layer()).collect::<Result<_, ModelError>>()?;
        Ok(KvCache { layers })
    }
}

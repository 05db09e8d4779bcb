// Where a cached vector lies: the only place that knows the layout of the KV cache.
// A slot is page * PAGE + offset; a slot holds every KV head's D elements; indices count vectors of four elements.
import package::constants::PAGE;

fn kv_index(slot: u32, kv_heads: u32, kv_head: u32, dim4: u32) -> u32 {
    return (slot * kv_heads + kv_head) * dim4;
}

fn kv_slot(page: u32, position: u32) -> u32 {
    return page * PAGE + position % PAGE;
}

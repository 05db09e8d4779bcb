// What the attention kernels and the merge are told. Mirrors kernels/attention.rs.
struct Params {
    heads: u32,
    kv_heads: u32,
    page_stride: u32,
    window: u32, // 0: none; else a query sees itself and the window - 1 positions before it
    scale: f32,
    // The vectors of a head and the keys of a step again, as numbers that compilers cannot see: loops that read them here
    // are not unrolled, which would take some drivers seconds to compile.
    dim4: u32,
    keys: u32,
}
var<immediate> params: Params;

struct Sequence {
    row0: u32,     // its first token's row in the batch
    tokens: u32,   // how many tokens it has in the batch
    position0: u32, // its first token's position
    page_row: u32, // its row of the page table
}

// The first key that a query sees.
fn first_visible(position: u32) -> u32 {
    let windowed = params.window > 0u && position >= params.window;
    return select(0u, position + 1u - params.window, windowed);
}

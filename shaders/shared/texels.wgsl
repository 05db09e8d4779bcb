// Memory in the texels of a texture, whose rows continue one another. Mirrors TEXELS_PER_ROW of recording.rs.

const PER_ROW: u32 = 2048u;

// Where a texel lies.
fn place(index: u32) -> vec2<u32> {
    return vec2<u32>(index % PER_ROW, index / PER_ROW);
}

// The scales of Q4_K and Q5_K, repacked: five words a superblock of eight groups. Word 0 is the f16 pair (d, dmin);
// words 1 to 4 hold a byte pair (scale, min) for each group.
fn k_scale(header: u32, pairs: u32, group: u32) -> vec2<f32> {
    let d = unpack2x16float(header);
    let pair = pairs >> (16u * (group & 1u));
    return vec2<f32>(d.x * f32(pair & 0xffu), -d.y * f32((pair >> 8u) & 0xffu));
}

// Fused multiply-adds on registers alone: 8 independent vectors of four, 8 turns unrolled. Mirrors bench/probes.rs.
import package::constants::WG;

struct Params {
    // Turns of the loop, each of 8 steps.
    turns: u32,
    // 1.0, which the compiler cannot know.
    factor: f32,
    // 1.0
    term: f32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = vec4(params.factor);
    let y = vec4(params.term);
    var a = vec4(f32(id.x % 16u)) + vec4(0.0, 1.0, 2.0, 3.0);
    var b = a + vec4(1.0);
    var c = a + vec4(2.0);
    var d = a + vec4(3.0);
    var e = a + vec4(4.0);
    var f = a + vec4(5.0);
    var g = a + vec4(6.0);
    var h = a + vec4(7.0);
    for (var turn = 0u; turn < params.turns; turn++) {
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
    }
    let sum = a + b + c + d + e + f + g + h;
    sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}

// Fused multiply-adds in f16 on registers alone: 8 independent vectors of four, 8 steps unrolled. Mirrors bench/probes.rs.
import package::constants::WG;

enable f16;

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
    let x = vec4(f16(params.factor));
    let y = vec4(f16(params.term));
    var a = vec4(f16(id.x % 16u)) + vec4(0.0h, 1.0h, 2.0h, 3.0h);
    var b = a + vec4(1.0h);
    var c = a + vec4(2.0h);
    var d = a + vec4(3.0h);
    var e = a + vec4(4.0h);
    var f = a + vec4(5.0h);
    var g = a + vec4(6.0h);
    var h = a + vec4(7.0h);
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
    // Each has stopped at 2048, where f16 has no next whole number, or is still below.
    let sum = vec4<f32>(a) + vec4<f32>(b) + vec4<f32>(c) + vec4<f32>(d)
        + vec4<f32>(e) + vec4<f32>(f) + vec4<f32>(g) + vec4<f32>(h);
    sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}

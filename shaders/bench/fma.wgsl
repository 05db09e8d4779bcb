// Fused multiply-adds on registers alone: 8 independent vectors of four, 8 steps unrolled; with `f16` in f16, where each
// stops at 2048, which has no next whole number there. Mirrors bench/probes.rs.
import package::constants::WG;

@if(f16) enable f16;

@if(f16) alias Real = f16;
@if(!f16) alias Real = f32;

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
    let x = vec4<Real>(Real(params.factor));
    let y = vec4<Real>(Real(params.term));
    var a = vec4<Real>(Real(id.x % 16u)) + vec4<Real>(0.0, 1.0, 2.0, 3.0);
    var b = a + vec4<Real>(1.0);
    var c = a + vec4<Real>(2.0);
    var d = a + vec4<Real>(3.0);
    var e = a + vec4<Real>(4.0);
    var f = a + vec4<Real>(5.0);
    var g = a + vec4<Real>(6.0);
    var h = a + vec4<Real>(7.0);
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
    let sum = vec4<f32>(a) + vec4<f32>(b) + vec4<f32>(c) + vec4<f32>(d)
        + vec4<f32>(e) + vec4<f32>(f) + vec4<f32>(g) + vec4<f32>(h);
    sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}

// Dot products of four packed signed bytes: 16 independent sums, 4 turns unrolled. Mirrors bench/probes.rs.
import package::constants::WG;

struct Params {
    // Turns of the loop, each of 4 steps.
    turns: u32,
    // Four packed bytes that every sum is multiplied with.
    weights: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let w = params.weights;
    var a = id.x * 2654435761u;
    var b = a + 1u;
    var c = a + 2u;
    var d = a + 3u;
    var e = a + 4u;
    var f = a + 5u;
    var g = a + 6u;
    var h = a + 7u;
    var i = a + 8u;
    var j = a + 9u;
    var k = a + 10u;
    var l = a + 11u;
    var m = a + 12u;
    var n = a + 13u;
    var o = a + 14u;
    var p = a + 15u;
    for (var turn = 0u; turn < params.turns; turn++) {
        a += bitcast<u32>(dot4I8Packed(a, w));
        b += bitcast<u32>(dot4I8Packed(b, w));
        c += bitcast<u32>(dot4I8Packed(c, w));
        d += bitcast<u32>(dot4I8Packed(d, w));
        e += bitcast<u32>(dot4I8Packed(e, w));
        f += bitcast<u32>(dot4I8Packed(f, w));
        g += bitcast<u32>(dot4I8Packed(g, w));
        h += bitcast<u32>(dot4I8Packed(h, w));
        i += bitcast<u32>(dot4I8Packed(i, w));
        j += bitcast<u32>(dot4I8Packed(j, w));
        k += bitcast<u32>(dot4I8Packed(k, w));
        l += bitcast<u32>(dot4I8Packed(l, w));
        m += bitcast<u32>(dot4I8Packed(m, w));
        n += bitcast<u32>(dot4I8Packed(n, w));
        o += bitcast<u32>(dot4I8Packed(o, w));
        p += bitcast<u32>(dot4I8Packed(p, w));
        a += bitcast<u32>(dot4I8Packed(a, w));
        b += bitcast<u32>(dot4I8Packed(b, w));
        c += bitcast<u32>(dot4I8Packed(c, w));
        d += bitcast<u32>(dot4I8Packed(d, w));
        e += bitcast<u32>(dot4I8Packed(e, w));
        f += bitcast<u32>(dot4I8Packed(f, w));
        g += bitcast<u32>(dot4I8Packed(g, w));
        h += bitcast<u32>(dot4I8Packed(h, w));
        i += bitcast<u32>(dot4I8Packed(i, w));
        j += bitcast<u32>(dot4I8Packed(j, w));
        k += bitcast<u32>(dot4I8Packed(k, w));
        l += bitcast<u32>(dot4I8Packed(l, w));
        m += bitcast<u32>(dot4I8Packed(m, w));
        n += bitcast<u32>(dot4I8Packed(n, w));
        o += bitcast<u32>(dot4I8Packed(o, w));
        p += bitcast<u32>(dot4I8Packed(p, w));
        a += bitcast<u32>(dot4I8Packed(a, w));
        b += bitcast<u32>(dot4I8Packed(b, w));
        c += bitcast<u32>(dot4I8Packed(c, w));
        d += bitcast<u32>(dot4I8Packed(d, w));
        e += bitcast<u32>(dot4I8Packed(e, w));
        f += bitcast<u32>(dot4I8Packed(f, w));
        g += bitcast<u32>(dot4I8Packed(g, w));
        h += bitcast<u32>(dot4I8Packed(h, w));
        i += bitcast<u32>(dot4I8Packed(i, w));
        j += bitcast<u32>(dot4I8Packed(j, w));
        k += bitcast<u32>(dot4I8Packed(k, w));
        l += bitcast<u32>(dot4I8Packed(l, w));
        m += bitcast<u32>(dot4I8Packed(m, w));
        n += bitcast<u32>(dot4I8Packed(n, w));
        o += bitcast<u32>(dot4I8Packed(o, w));
        p += bitcast<u32>(dot4I8Packed(p, w));
        a += bitcast<u32>(dot4I8Packed(a, w));
        b += bitcast<u32>(dot4I8Packed(b, w));
        c += bitcast<u32>(dot4I8Packed(c, w));
        d += bitcast<u32>(dot4I8Packed(d, w));
        e += bitcast<u32>(dot4I8Packed(e, w));
        f += bitcast<u32>(dot4I8Packed(f, w));
        g += bitcast<u32>(dot4I8Packed(g, w));
        h += bitcast<u32>(dot4I8Packed(h, w));
        i += bitcast<u32>(dot4I8Packed(i, w));
        j += bitcast<u32>(dot4I8Packed(j, w));
        k += bitcast<u32>(dot4I8Packed(k, w));
        l += bitcast<u32>(dot4I8Packed(l, w));
        m += bitcast<u32>(dot4I8Packed(m, w));
        n += bitcast<u32>(dot4I8Packed(n, w));
        o += bitcast<u32>(dot4I8Packed(o, w));
        p += bitcast<u32>(dot4I8Packed(p, w));
    }
    sums[id.x] = a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l ^ m ^ n ^ o ^ p;
}

// Four elements of f32 in a buffer. `wide` is for CPUs that emulate a GPU, where few and wide loads are what counts
// (shared/words8).
@if(wide) import package::shared::words8::{words4, pairs2};

@if(wide) alias Four = vec2<u64>;
@if(!wide) alias Four = vec4<f32>;

fn from_four(four: Four) -> vec4<f32> {
    @if(wide) return bitcast<vec4<f32>>(words4(four));
    @if(!wide) return four;
}

fn to_four(v: vec4<f32>) -> Four {
    @if(wide) return pairs2(bitcast<vec4<u32>>(v));
    @if(!wide) return v;
}

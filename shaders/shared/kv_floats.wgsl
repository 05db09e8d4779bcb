// Four elements of a cached key or value as floats; f16 caches hold two a word, so that they need no f16 feature.
import package::shared::four::{Four, from_four, to_four};
@if(kv_f16 && wide) import package::shared::words8::words2;

@if(kv_f16 && wide) alias Stored = u64;
@if(kv_f16 && !wide) alias Stored = vec2<u32>;
@if(!kv_f16) alias Stored = Four;

fn pack(v: vec4<f32>) -> Stored {
    @if(kv_f16) let words = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
    @if(kv_f16 && wide) return u64(words.x) | (u64(words.y) << 32u);
    @if(kv_f16 && !wide) return words;
    @if(!kv_f16) return to_four(v);
}

fn unpack(stored: Stored) -> vec4<f32> {
    @if(kv_f16 && wide) let words = words2(stored);
    @if(kv_f16 && !wide) let words = stored;
    @if(kv_f16) return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
    @if(!kv_f16) return from_four(stored);
}

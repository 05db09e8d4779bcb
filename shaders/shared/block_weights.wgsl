// Eight weights of a block.
import package::blocks::{Block, eight_codes, scale_and_min, PLACES};
import package::shared::weights8::Weights8;

fn dequantize(w: Block, part: u32) -> Weights8 {
    let codes = eight_codes(w, part);
    let scale = scale_and_min(w, part);
    let d = scale.x * PLACES;
    return Weights8(d * codes.lo + scale.y, d * codes.hi + scale.y);
}

// Logits in the order in which tokens are chosen. Compilers may assume that there is neither NaN nor infinity: only the bits
// are looked at.
const INVALID: u32 = 0xffffffffu; // the token of a row that cannot be sampled from

const RULED_OUT: u32 = 0u;      // the rank of -infinity
const FAULT: u32 = 0xffffffffu; // that of NaN and of +infinity

const INFINITY: u32 = 0x7f800000u;
const SIGN: u32 = 0x80000000u;

fn is_fault(v: f32) -> bool {
    let bits = bitcast<u32>(v);
    return bits == INFINITY || (bits & ~SIGN) > INFINITY;
}

// Rises with the logit; -0 and 0 have one rank.
fn rank_of(v: f32) -> u32 {
    if is_fault(v) {
        return FAULT;
    }
    let bits = bitcast<u32>(v);
    if bits == (SIGN | INFINITY) {
        return RULED_OUT;
    }
    return select(bits | SIGN, ~bits, bits > SIGN);
}

// The logit of a rank that is neither of the two above.
fn logit_of(rank: u32) -> f32 {
    return bitcast<f32>(select(~rank, rank & ~SIGN, rank >= SIGN));
}

"""Writes blocks.safetensors: stored blocks of every weight type, and the values that gguf-py dequantises them to.

    pip install gguf numpy safetensors
    python tests/oracle/make_block_vectors.py

For each type TYPE the file has two tensors a case: `TYPE.CASE.bytes` (u8) and `TYPE.CASE.values` (f32). The cases are
`random`, random bytes with finite scales, which visits every code and every packed scale; and, where gguf-py can
quantise to the type, `normal`, quantised normally distributed weights.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

ELEMENTS = 1024

# The byte offsets of the f16 scales in a block.
SCALES = {
    Type.F32: [],
    Type.F16: [0],
    Type.BF16: [],
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
}


def random_blocks(rng: np.random.Generator, kind: Type) -> np.ndarray:
    block_len, block_bytes = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ELEMENTS // block_len, block_bytes), dtype=np.uint8)
    for offset in SCALES[kind]:
        scales = rng.normal(0, 0.02, len(blocks)).astype(np.float16)
        scales[0] = np.float16(6e-8)  # the smallest subnormal
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    if kind in (Type.F32, Type.BF16):
        # Clears one bit of each exponent, so that no value is infinite or NaN.
        blocks[:, -1] &= 0xBF
    return blocks.reshape(-1)


def main() -> None:
    rng = np.random.default_rng(20240607)
    tensors = {}

    def add(kind: Type, case: str, stored: np.ndarray) -> None:
        stored = np.ascontiguousarray(stored).reshape(-1).view(np.uint8)
        values = dequantize(stored, kind).reshape(-1).astype(np.float32)
        assert np.isfinite(values).all(), (kind, case)
        tensors[f"{kind.name}.{case}.bytes"] = stored
        tensors[f"{kind.name}.{case}.values"] = values

    for kind in SCALES:
        add(kind, "random", random_blocks(rng, kind))
        weights = rng.normal(0, 0.05, ELEMENTS).astype(np.float32)
        try:
            stored = quantize(weights, kind)
        except NotImplementedError:
            continue
        add(kind, "normal", stored)

    path = Path(__file__).with_name("blocks.safetensors")
    save_file(tensors, path)
    print(f"{path}: {path.stat().st_size} bytes, {len(tensors) // 2} cases")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes tiny models as GGUF files, the way llama.cpp's converter does, with what transformers computes for them.

    python make_tiny_ggufs.py [NAME ...]

Each becomes tiny/gguf/NAME.gguf and tiny/gguf/NAME.expected.safetensors (layout: README.md). Run
make_tiny_models.py first: most take their weights from its folders. The tokens are placeholders;
tiny/chat has a GGUF file with a real tokenizer.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file
from transformers import AutoConfig

import golden
from make_tiny_models import FIRST_SEED, LLAMA, MODELS, SEEDS_TO_TRY, TINY, randomise

FOLDER = TINY / "gguf"
MIN_GAP = 0.01
ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}

# GGUF has no key for the attention scale and none for the layer pattern: the scale is head_dim ** -0.5, and every sixth
# layer is full.
GEMMA3 = {
    **MODELS["gemma3"][0],
    "num_hidden_layers": 6,
    "query_pre_attn_scalar": 32,
    "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
}
# K-quants have blocks of 256 weights, so rows must be multiples of that.
LLAMA_WIDE = {
    **LLAMA,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}

# name: (a folder of tiny/ or a config, storage type by a part of the tensor's GGUF name, tensors in each part of a
# split file or 0). The first matching part decides ("output.weight" is attn_output's end, too); "" is the default.
# Vectors are always F32, as the converter has it.
FILES = {
    "llama3-f32": ("llama3", {"": Type.F32}, 0),
    "llama3-q8_0-split": ("llama3", {"": Type.Q8_0}, 8),
    "smollm2-q4_1": ("smollm2", {"token_embd": Type.Q8_0, "": Type.Q4_1}, 0),
    "llama-k": (
        LLAMA_WIDE,
        {
            "output.weight": Type.Q6_K,
            "token_embd": Type.Q4_K,
            "attn_v": Type.Q6_K,
            "ffn_down": Type.Q5_K,
            "attn_q": Type.Q5_K,
            "": Type.Q4_K,
        },
        0,
    ),
    "qwen2-mixed": (
        "qwen2",
        {
            "token_embd": Type.Q5_0,
            "attn_q": Type.F16,
            "attn_k": Type.BF16,
            "attn_v": Type.Q8_0,
            "ffn_down": Type.Q5_1,
            "ffn_up": Type.Q4_1,
            "": Type.Q4_0,
        },
        0,
    ),
    "qwen3-q4_0": ("qwen3", {"output.weight": Type.Q8_0, "": Type.Q4_0}, 0),
    "gemma3-q5_0": (GEMMA3, {"token_embd": Type.Q8_0, "ffn_down": Type.Q5_1, "": Type.Q5_0}, 0),
}


def permute(rows: np.ndarray, heads: int) -> np.ndarray:
    """Hugging Face's RoPE pairs row i of a head with i + d/2; llama.cpp's, for this architecture, 2i with 2i + 1."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def converted(name: str, weights: np.ndarray, config: dict) -> np.ndarray:
    """A Hugging Face tensor as llama.cpp's converter stores it."""
    if config["model_type"] == "llama" and ".q_proj." in name:
        return permute(weights, config["num_attention_heads"])
    if config["model_type"] == "llama" and ".k_proj." in name:
        return permute(weights, config["num_key_value_heads"])
    if config["model_type"] == "gemma3_text" and name.endswith("norm.weight"):
        return weights + 1  # Gemma multiplies by 1 + w; the file holds the whole factor
    return weights


def rope_factors(config: dict) -> np.ndarray | None:
    """Llama 3's RoPE scaling as GGUF has it: what each of the head_dim / 2 frequencies is divided by."""
    scaling = config.get("rope_scaling")
    if not scaling or scaling["rope_type"] != "llama3":
        return None
    half = config["hidden_size"] // config["num_attention_heads"] // 2
    factors = []
    for index in range(half):
        wavelength = 2 * math.pi * config["rope_theta"] ** (index / half)
        turns = scaling["original_max_position_embeddings"] / wavelength
        smooth = (turns - scaling["low_freq_factor"]) / (scaling["high_freq_factor"] - scaling["low_freq_factor"])
        smooth = min(max(smooth, 0.0), 1.0)
        factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


def random_k_blocks(shape: tuple[int, int], kind: Type, rng: np.random.Generator) -> np.ndarray:
    """Random blocks of a K-quant, for which gguf-py has no quantiser.

    Every bit of the codes and of the inner scales is drawn; the half-precision scales are set so that the weights have
    mean 0 and a deviation near 1/sqrt(columns).
    """
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (shape[0] * shape[1] // block, size), dtype=np.uint8)
    deviation = shape[1] ** -0.5 * rng.uniform(0.7, 1.4, (len(blocks), 1))
    if kind == Type.Q6_K:  # d * int8 scale * (q - 32): the scale comes last
        blocks[:, -2:] = (deviation / (74 * 18.5)).astype(np.float16).view(np.uint8)
    else:  # d * s * q - dmin * m, with s, m in 0..63: the scales come first
        top = 15 if kind == Type.Q4_K else 31
        d = deviation / (12 * top)
        blocks[:, 0:2] = d.astype(np.float16).view(np.uint8)
        blocks[:, 2:4] = (d * top / 2).astype(np.float16).view(np.uint8)
    return blocks.reshape(shape[0], -1)


def encode(weights: np.ndarray, kind: Type, rng: np.random.Generator) -> np.ndarray:
    if kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        return random_k_blocks(weights.shape, kind, rng)
    return gguf.quants.quantize(weights, kind)


def write_hyperparameters(writer: gguf.GGUFWriter, config: dict) -> None:
    eos = config["eos_token_id"]
    head_dim = config.get("head_dim")
    writer.add_name("Tiny")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_vocab_size(config["vocab_size"])
    if head_dim:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if config["model_type"] == "llama":
        writer.add_rope_dimension_count(head_dim or config["hidden_size"] // config["num_attention_heads"])
    if config["model_type"] == "gemma3_text":
        writer.add_sliding_window(config["sliding_window"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(eos[0] if isinstance(eos, list) else eos)


def write_tensors(writer: gguf.GGUFWriter, config: dict, state: dict[str, np.ndarray], types: dict[str, Type]) -> None:
    rng = np.random.default_rng(FIRST_SEED)
    names = gguf.get_tensor_name_map(ARCHITECTURES[config["model_type"]], config["num_hidden_layers"])
    factors = rope_factors(config)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    for hf_name, weights in state.items():
        name = names.get_name(hf_name, try_suffixes=(".weight", ".bias"))
        weights = np.ascontiguousarray(converted(hf_name, weights, config))
        kind = next(kind for part, kind in types.items() if part in name) if weights.ndim > 1 else Type.F32
        writer.add_tensor(name, encode(weights, kind, rng), raw_dtype=kind)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def sources(of: str | dict) -> Iterator[tuple[dict, dict[str, np.ndarray], int]]:
    """Config, Hugging Face tensors and seed of a model; of several to choose from, where they are made here."""
    if isinstance(of, str):
        folder = TINY / of
        yield (
            json.loads((folder / "config.json").read_text()),
            load_file(folder / "model.safetensors"),
            golden.seed_of(folder / "expected.safetensors"),
        )
        return
    fields = dict(of)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS_TO_TRY):
        yield of, {name: tensor.numpy() for name, tensor in randomise(config, seed).items()}, seed


def write(path: Path, config: dict, state: dict[str, np.ndarray], types: dict[str, Type], split: int) -> None:
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[config["model_type"]]], split_max_tensors=split)
    write_hyperparameters(writer, config)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"<{index}>" for index in range(config["vocab_size"])])
    writer.add_token_types([gguf.TokenType.NORMAL] * config["vocab_size"])
    writer.add_token_merges(["< 0"])
    write_tensors(writer, config, state, types)
    finish(writer)


def make(name: str) -> None:
    of, types, split = FILES[name]
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.gguf"
    for config, state, seed in sources(of):
        write(path, config, state, types, 0)
        # The tensors come back through transformers' own GGUF reader. The config is ours, for what GGUF leaves out.
        expected = golden.record(golden.load(FOLDER, config, gguf=path.name), seed)
        if expected["greedy.gaps"].min() >= MIN_GAP:
            break
    else:
        sys.exit(f"{name}: some step of its greedy text is too close to a tie")
    golden.save(expected, FOLDER / f"{name}.expected.safetensors", seed)
    print(golden.describe(name, expected))
    if isinstance(of, str):
        moved = golden.difference(expected, load_file(TINY / of / "expected.safetensors"))
        print(f"    against the folder's float32 weights: {moved:.2e}")
        if set(types.values()) == {Type.F32} and moved > 1e-3:
            sys.exit(f"{name}: the same weights give other logits as GGUF")
    if split:  # transformers reads only whole files
        path.unlink()
        write(path, config, state, types, split)


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or FILES:
        make(name)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes a tiny random-weight model of every architecture, with what transformers computes for it.

    python make_tiny_models.py [NAME ...]

Each becomes tiny/NAME/: config.json, generation_config.json, model.safetensors and
expected.safetensors (layout: README.md). The config.json files are written as model hubs carry them;
those of the variants at the end as transformers 5 writes them.

A golden only protects what it depends on, so each model lists changes to its configuration that a
faulty engine might amount to ("mutants"), and the script fails where one leaves the logits alone.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

import golden

TINY = Path(__file__).parent / "tiny"
FIRST_SEED = 1000
SEEDS_TO_TRY = 200
# Greedy decoding must say something, and rounding must not be able to change what it says.
MIN_DISTINCT = 12
MIN_GAP = 0.02
# A mutant must move some logit by more than any tolerance a test would use.
MUTANT_MIN_CHANGE = 0.02

SHARED = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

LLAMA = {
    **SHARED,
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}
MISTRAL = {
    **SHARED,
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

# name: (config.json, mutants)
MODELS = {
    # No rope_theta: 10,000 is implied.
    "llama2": (
        {**LLAMA, "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "rope_scaling": None, "tie_word_embeddings": False},
        {"RoPE base": {"rope_theta": 500000.0}},
    ),
    # Of a head's 8 frequencies one keeps its value, one lies in the smoothed band, six are divided by 8.
    "llama3": (
        {
            **LLAMA,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "rope_scaling": LLAMA3_ROPE,
            "tie_word_embeddings": True,
            "eos_token_id": [2, 3],
        },
        {
            "no RoPE scaling": {"rope_scaling": None},
            "no smoothed band": {"rope_scaling": {**LLAMA3_ROPE, "high_freq_factor": 1.001}},
        },
    ),
    "smollm2": (
        {
            **LLAMA,
            "hidden_size": 96,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "rms_norm_eps": 1e-5,
            "rope_theta": 100000.0,
            "tie_word_embeddings": True,
        },
        {"RoPE base": {"rope_theta": 10000.0}},
    ),
    "mistral": (
        {**MISTRAL, "sliding_window": 16, "rope_theta": 10000.0, "tie_word_embeddings": False},
        {
            "no window": {"sliding_window": None},
            "window - 1": {"sliding_window": 15},
            "window + 1": {"sliding_window": 17},
        },
    ),
    # A window that use_sliding_window turns off.
    "qwen2": (
        {
            **SHARED,
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "sliding_window": 8,
            "use_sliding_window": False,
            "max_window_layers": 1,
            "tie_word_embeddings": True,
        },
        {"window on": {"use_sliding_window": True, "max_window_layers": 0}},
    ),
    "qwen3": (
        {
            **SHARED,
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "head_dim": 32,
            "rope_theta": 1000000.0,
            "rope_scaling": None,
            "attention_bias": False,
            "sliding_window": None,
            "use_sliding_window": False,
            "max_window_layers": 2,
            "tie_word_embeddings": False,
        },
        {"RoPE base": {"rope_theta": 10000.0}},
    ),
    "gemma3": (
        {
            **SHARED,
            "architectures": ["Gemma3ForCausalLM"],
            "model_type": "gemma3_text",
            "hidden_activation": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-6,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "query_pre_attn_scalar": 48,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": None,
            "attention_bias": False,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "bos_token_id": 2,
            "eos_token_id": [1, 106],
            "pad_token_id": 0,
        },
        {
            "scale by head_dim": {"query_pre_attn_scalar": 32},
            "window - 1": {"sliding_window": 7},
            "window + 1": {"sliding_window": 9},
            "all layers slide": {"layer_types": ["sliding_attention"] * 3},
            "no layer slides": {"layer_types": ["full_attention"] * 3},
            "one RoPE base, global": {"rope_local_base_freq": 1000000.0},
            "one RoPE base, local": {"rope_theta": 10000.0},
            "SiLU": {"hidden_activation": "silu"},
        },
    ),
    # As in the 4B to 27B models: a pattern in place of the list of layer types, and global positions divided by 8.
    "gemma3-linear": (
        {
            **SHARED,
            "architectures": ["Gemma3ForCausalLM"],
            "model_type": "gemma3_text",
            "hidden_activation": "gelu_pytorch_tanh",
            "rms_norm_eps": 1e-6,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 16,
            "sliding_window_pattern": 2,
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "bos_token_id": 2,
            "eos_token_id": 1,
            "pad_token_id": 0,
        },
        {"no RoPE scaling": {"rope_scaling": None}, "pattern of 6": {"sliding_window_pattern": 6}},
    ),
    # As Mistral Nemo: heads wider than hidden_size / heads, and no window. Saved in several files (see VARIANTS).
    "mistral-nemo": (
        {**MISTRAL, "head_dim": 32, "sliding_window": None, "rope_theta": 1000000.0, "tie_word_embeddings": False},
        {"RoPE base": {"rope_theta": 10000.0}},
    ),
}

# name: (the model whose weights it holds, dtype, largest shard in bytes or None)
VARIANTS = {
    "llama3-bf16": ("llama3", torch.bfloat16, None),
    "qwen2-f16": ("qwen2", torch.float16, None),
    "gemma3-bf16": ("gemma3", torch.bfloat16, None),
    "mistral-sharded": ("mistral", torch.float32, "100KB"),
}


def initial(name: str, parameter: torch.Tensor, config, generator: torch.Generator) -> torch.Tensor:
    """Random values at scales where every part of the model shows in the logits: norms and biases that are
    not the identity, attention that is neither uniform nor one-hot, a residual stream that forgets its input."""
    normal = torch.randn(parameter.shape, generator=generator)
    uniform = torch.rand(parameter.shape, generator=generator)
    if name.endswith("norm.weight"):
        if config.model_type == "gemma3_text":  # multiplies by 1 + w
            return normal * 0.3 + (4.0 if name == "model.norm.weight" else 0.0)
        return uniform + (1.0 if "_norm" in name and "self_attn" in name else 0.5)
    if name.endswith(".bias"):
        return normal * 0.5
    if "embed_tokens" in name:
        if config.model_type == "gemma3_text":  # multiplies by sqrt(hidden_size)
            return normal * 0.03
        # Tied: every token would otherwise predict itself.
        return normal * (0.15 if config.tie_word_embeddings else 1.0)
    gain = {"q_proj": 1.6, "k_proj": 1.6, "o_proj": 1.5, "down_proj": 1.5, "lm_head": 2.0}
    scale = next((value for part, value in gain.items() if part in name), 1.0)
    return normal * (scale / parameter.shape[-1] ** 0.5)


def randomise(config, seed: int) -> dict[str, torch.Tensor]:
    """A state dict for `config`, without the output matrix where it is tied."""
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: initial(name, parameter, config, generator).contiguous() for name, parameter in model.named_parameters()
    }


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def make(name: str) -> None:
    config, mutants = MODELS[name]
    folder = TINY / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]},
    )
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS_TO_TRY):
        save_file(
            randomise(AutoConfig.from_pretrained(folder), seed), folder / "model.safetensors", metadata={"format": "pt"}
        )
        model = golden.load(folder)
        text = golden.record_greedy(model, seed)
        if len(set(text["greedy.ids"].tolist())) >= MIN_DISTINCT and text["greedy.gaps"].min() >= MIN_GAP:
            break
    else:
        sys.exit(f"{name}: no seed gives a greedy text that is varied and clear of ties")
    expected = golden.record(model, seed)
    golden.save(expected, folder / "expected.safetensors", seed)
    print(
        golden.describe(name, expected),
        f"(seed {seed}; rounding noise {golden.rounding_noise(model, expected, seed):.1e})",
    )
    for label, change in mutants.items():
        moved = golden.difference(expected, golden.record_logits(golden.load(folder, {**config, **change}), seed))
        print(f"    {label}: logits move by {moved:.3f}")
        if not moved > MUTANT_MIN_CHANGE:
            sys.exit(f"{name}: the golden would not notice the mutant {label!r}")


def make_variant(name: str) -> None:
    source, dtype, shard_size = VARIANTS[name]
    folder = TINY / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    model = golden.load(TINY / source).to(dtype)
    model.save_pretrained(folder, **({"max_shard_size": shard_size} if shard_size else {}))
    seed = golden.seed_of(TINY / source / "expected.safetensors")
    expected = golden.record(golden.load(folder), seed)
    golden.save(expected, folder / "expected.safetensors", seed)
    print(golden.describe(name, expected))


def main() -> None:
    names = sys.argv[1:] or [*MODELS, *VARIANTS]
    torch.set_num_threads(1)
    for name in names:
        (make if name in MODELS else make_variant)(name)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the fuzzers' first inputs, to seeds/TARGET/, made from the files that the tests use."""

import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
ORACLE = HERE.parent / "tests" / "oracle"
SEPARATOR = b"\n---\n"
VOCABULARY = 32
# The numbers of ggml's types, with the elements and bytes of a block.
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "BF16": (30, 1, 2)}


def save(target, name, *parts):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(SEPARATOR.join(parts))


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value(v):
    """A metadata value with its type in front."""
    if isinstance(v, bool):
        return struct.pack("<I?", 7, v)
    if isinstance(v, int):
        return struct.pack("<II", 4, v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    if isinstance(v, str):
        return struct.pack("<I", 8) + string(v)
    items = [value(item) for item in v]
    return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)


def gguf(metadata, tensors=()):
    """A GGUF file; tensors are (name, shape, type), of zeros."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(string(key) + value(v) for key, v in metadata.items())
    offset = 0
    for name, shape, kind in tensors:
        number, block, size = TYPES[kind]
        header += string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        header += struct.pack("<IQ", number, offset)
        elements = 1
        for dimension in shape:
            elements *= dimension
        offset += -(-elements // block * size // 32) * 32
    return header + bytes(-len(header) % 32 + offset)


def layer_shapes(dim, ffn, kv):
    return {
        "attn_norm": (dim,), "attn_q": (dim, dim), "attn_k": (kv, dim), "attn_v": (kv, dim),
        "attn_output": (dim, dim), "ffn_norm": (dim,), "ffn_gate": (ffn, dim), "ffn_up": (ffn, dim),
        "ffn_down": (dim, ffn),
    }  # fmt: skip


def gguf_models():
    for architecture, kind in [("llama", "Q4_0"), ("qwen2", "Q8_0"), ("gemma3", "F16")]:
        metadata = {
            "general.architecture": architecture,
            f"{architecture}.block_count": 1,
            f"{architecture}.context_length": 64,
            f"{architecture}.embedding_length": 32,
            f"{architecture}.feed_forward_length": 32,
            f"{architecture}.attention.head_count": 4,
            f"{architecture}.attention.head_count_kv": 2,
            f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
            f"{architecture}.rope.freq_base": 1e4,
        }
        tensors = [("token_embd.weight", (VOCABULARY, 32), kind), ("output_norm.weight", (32,), "F32")]
        shapes = layer_shapes(32, 32, 16)
        if architecture == "gemma3":
            shapes |= {"attn_q_norm": (8,), "attn_k_norm": (8,), "post_attention_norm": (32,), "post_ffw_norm": (32,)}
        else:
            tensors.append(("rope_freqs.weight", (4,), "F32"))
        for name, shape in shapes.items():
            tensors.append((f"blk.0.{name}.weight", shape, kind if len(shape) == 2 else "F32"))
        save("gguf", f"{architecture}.gguf", gguf(metadata, tensors))
    every = {"a": 1, "b": 1.0, "c": True, "d": "é", "e": ["x", "y"], "f": [1, 2], "g": [1.0], "general.alignment": 64}
    save("gguf", "values.gguf", gguf(every))
    save("gguf", "split-00001-of-00002.gguf", gguf({"split.no": 0, "split.count": 2, "split.tensors.count": 0}))


def safetensors(shapes):
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + bytes(offset)


def huggingface_folders():
    names = {
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    }  # fmt: skip
    shapes = {"model.embed_tokens.weight": (VOCABULARY, 32), "model.norm.weight": (32,)}
    for name, shape in layer_shapes(32, 32, 16).items():
        shapes[f"model.layers.0.{names[name]}.weight"] = shape
    weights = safetensors(shapes)
    config = {
        "model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": 1, "intermediate_size": 32, "vocab_size": VOCABULARY, "tie_word_embeddings": True,
    }  # fmt: skip
    index = {"weight_map": {name: "shard.safetensors" for name in shapes}}
    save("huggingface", "whole", json.dumps(config).encode(), b'{"eos_token_id": [1, 2]}', b"", weights)
    save("huggingface", "sharded", json.dumps(config).encode(), b"", json.dumps(index).encode(), weights)
    for path in sorted((ORACLE / "tiny").glob("*/config.json")):
        save("huggingface", path.parent.name, path.read_bytes(), b"", b"", safetensors({"a": (1,)}))


def smaller(tokenizer, size):
    """Keeps the first ids of a tokenizer.json and what can be made of them."""
    tokenizer = json.loads(json.dumps(tokenizer))
    model = tokenizer["model"]
    model["vocab"] = {text: id for text, id in model["vocab"].items() if id < size}
    known = model["vocab"].keys()
    model["merges"] = [[a, b] for a, b in model["merges"] if {a, b, a + b} <= known]
    return tokenizer


def tokenizers():
    for path in sorted((ORACLE / "tokenizers").glob("*.json")):
        if path.stem not in ("gpt-2", "llama-bpe", "spm-space"):
            continue
        golden = json.loads(path.read_text())
        tokenizer = smaller(golden["tokenizer"], 320)
        text = golden["cases"][-1]["text"].encode()
        config = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": True, "chat_template": "x"}
        compact = json.dumps(tokenizer, separators=(",", ":"), ensure_ascii=False).encode()
        save("tokenizer", path.stem, compact, json.dumps(config).encode(), b'{"eos_token_id": 2}', text)
        vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
        metadata = {"tokenizer.ggml.tokens": vocabulary, "tokenizer.ggml.eos_token_id": 2}
        if "scores" in golden:
            metadata |= {"tokenizer.ggml.model": "llama", "tokenizer.ggml.add_space_prefix": golden["adds_space"]}
            metadata["tokenizer.ggml.scores"] = [float(score) for score in golden["scores"][: len(vocabulary)]]
            metadata["tokenizer.ggml.token_type"] = golden["kinds"][: len(vocabulary)]
        else:
            merges = [" ".join(pair) for pair in tokenizer["model"]["merges"]] or ["a b"]
            metadata |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": golden["pre"]}
            metadata["tokenizer.ggml.merges"] = merges
        save("tokenizer", f"{path.stem}.gguf", gguf(metadata))
    tiny = {
        "model": {"type": "BPE", "unk_token": "a", "vocab": {"a": 0, "b": 1, "ab": 2, "▁": 3}, "merges": [["a", "b"]]},
        "normalizer": {"type": "Replace", "pattern": {"Regex": " +"}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "added_tokens": [{"id": 4, "content": "<s>", "special": True, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False}],
    }  # fmt: skip
    save("tokenizer", "tiny", json.dumps(tiny).encode(), b"{}", b"{}", b"abab <s> ab")


def chat_templates():
    for model in json.loads((ORACLE / "tokenizers" / "chat_templates.json").read_text()):
        save("chat_template", model["name"], model["template"].encode(), b"Hello <b>\n")
    doubling = "{% set ns = namespace(x='ab') %}{% for i in range(9) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
    macro = "{% macro m(a, b=1) %}{{ a * b }}{% endmacro %}{% call m([1]) %}{% endcall %}{{ m('x', b=3)|indent(2) }}"
    block = "{% set x %}{{ messages|tojson }}{% endset %}{% filter upper %}{{ x[::-1] }}{% endfilter %}"
    for name, source in [("doubling", doubling), ("macro", macro), ("block", block)]:
        save("chat_template", name, source.encode(), b"Hello")


gguf_models()
huggingface_folders()
tokenizers()
chat_templates()

"""How far the logits of a tiny GGUF model move when the inputs of all linear layers are rounded to blocks of q8_0.

    python rounded.py tiny/gguf/smollm2-q4_1.gguf tiny/gguf/smollm2-q4_1.expected.safetensors

transformers computes both, from the dequantised weights; the first must be what the oracle file has. Prints the largest
difference of each sequence; `models_tiny.rs` names that of the last one. Needs gguf, safetensors, torch and transformers.
"""

import sys

import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def load(path):
    reader = GGUFReader(path)
    tensors = {t.name: torch.from_numpy(dequantize(t.data, t.tensor_type).copy()).float() for t in reader.tensors}
    field = lambda name: reader.fields["llama." + name].contents()
    heads, kv_heads = field("attention.head_count"), field("attention.head_count_kv")
    embedding = tensors["token_embd.weight"]
    config = LlamaConfig(
        vocab_size=embedding.shape[0],
        hidden_size=embedding.shape[1],
        intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_theta=field("rope.freq_base"),
        tie_word_embeddings=True,
    )

    def apart(weight, heads):
        """GGUF pairs neighbouring rows for the rotation, transformers the halves of a head."""
        return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)

    state = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
    state["model.norm.weight"] = tensors["output_norm.weight"]
    for layer in range(config.num_hidden_layers):
        for ours, theirs in LAYER.items():
            weight = tensors[f"blk.{layer}.{theirs}.weight"]
            rotated = {"attn_q": heads, "attn_k": kv_heads}.get(theirs)
            state[f"model.layers.{layer}.{ours}.weight"] = apart(weight, rotated) if rotated else weight
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


def rounded(x):
    blocks = x.reshape(-1, 32)
    scale = blocks.abs().amax(1, keepdim=True) / 127
    codes = torch.where(scale > 0, torch.round(blocks / scale.clamp_min(1e-37)), torch.zeros_like(blocks))
    return (codes * scale).reshape(x.shape)


@torch.no_grad()
def main(path, expected):
    model, expected = load(path), load_file(expected)
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    for sequence in range(3):
        ids = expected[f"input_ids.{sequence}"].long().reshape(1, -1)
        exact = model(ids).logits[0]
        assert (exact - expected[f"logits.{sequence}"].reshape(exact.shape)).abs().max() < 1e-4
        hooks = [module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0]),)) for module in linear]
        print(f"{ids.numel()} tokens: {(model(ids).logits[0] - exact).abs().max():.5f}")
        for hook in hooks:
            hook.remove()


main(*sys.argv[1:])

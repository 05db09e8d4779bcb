#!/usr/bin/env python3
"""Records what transformers computes, in float32, for real GGUF models.

    python make_real_goldens.py [--export DIR] MODEL.gguf ...

For each model writes real/NAME.json (the format is in README.md). With --export the model, as
float32 safetensors, and its tokenizer are also saved to DIR/NAME as a Hugging Face folder.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "The capital of France is",
    "Once upon a time, there was a little robot who",
    "def fibonacci(n):",
]
NEW_TOKENS = 48
ROW_TOP = 64


def round_all(values, digits=4):
    return [round(float(value), digits) for value in values]


def row_summary(row: torch.Tensor) -> dict:
    """Enough of one row of logits to hold another row against it without storing 262,144 numbers."""
    top = row.topk(ROW_TOP)
    wide = row.double()
    return {
        "top_ids": top.indices.tolist(),
        "top_logits": round_all(top.values),
        "mean": round(wide.mean().item(), 6),
        "std": round(wide.std(correction=0).item(), 6),
        "logsumexp": round(wide.logsumexp(0).item(), 6),
    }


@torch.no_grad()
def golden(model, tokenizer, prompt: str, stop_ids: set[int]) -> dict:
    prompt_ids = tokenizer(prompt).input_ids
    output = model(torch.tensor([prompt_ids]), use_cache=True)
    last_row = output.logits[0, -1]
    ids, gaps, row = [], [], last_row
    while True:
        best, second = row.topk(2).values.tolist()
        ids.append(int(row.argmax()))
        gaps.append(best - second)
        if len(ids) == NEW_TOKENS or ids[-1] in stop_ids:
            break
        output = model(torch.tensor([ids[-1:]]), past_key_values=output.past_key_values, use_cache=True)
        row = output.logits[0, -1]
    top = last_row.topk(5)
    return {
        "prompt": prompt,
        "prompt_ids": prompt_ids,
        "last_row_top5": [[i, v] for i, v in zip(top.indices.tolist(), round_all(top.values), strict=True)],
        "greedy_ids": ids,
        "greedy_gaps": round_all(gaps),
        "greedy_text": tokenizer.decode(ids),
        "last_row": row_summary(last_row),
    }


def dump(records: list[dict]) -> str:
    """One key a line: readable, and a change to one value is a small diff."""
    objects = []
    for record in records:
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
        objects.append(" {\n" + ",\n".join(lines) + "\n }")
    return "[\n" + ",\n".join(objects) + "\n]\n"


def golden_name(gguf: Path) -> str:
    return gguf.stem.lower().replace(".q4_1", "-q4_1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--export", type=Path, metavar="DIR")
    arguments = parser.parse_args()

    real = Path(__file__).parent / "real"
    real.mkdir(exist_ok=True)
    for path in arguments.models:
        name = golden_name(path)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        stop = model.generation_config.eos_token_id
        stop_ids = set(stop if isinstance(stop, list) else [stop])
        records = [golden(model, tokenizer, prompt, stop_ids) for prompt in PROMPTS]
        (real / f"{name}.json").write_text(dump(records))
        for record in records:
            print(f"{name}: {record['prompt']!r}: smallest gap {min(record['greedy_gaps']):.4f}")
        if arguments.export:
            # The weights are float32 by now; transformers would still refuse to save them as "quantized".
            model.hf_quantizer = None
            del model.config.quantization_config
            model.save_pretrained(arguments.export / name)
            tokenizer.save_pretrained(arguments.export / name)


if __name__ == "__main__":
    main()

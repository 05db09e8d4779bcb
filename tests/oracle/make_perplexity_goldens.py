#!/usr/bin/env python3
"""Records how transformers, in float32, scores perplexity/text.txt.

    python make_perplexity_goldens.py [NAME=MODEL ...]

A MODEL is a Hugging Face folder or a GGUF file; without any, the tiny chat model is scored. For each writes
perplexity/NAME.json (the format is in README.md). The windows are those of llama.cpp's perplexity tool:
`context` tokens side by side with the second half scored, or `stride` tokens apart with the last `stride`
scored, and BOS in place of each window's first token where the tokenizer adds BOS.
"""

import json
import math
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoTokenizer

import golden

FOLDER = Path(__file__).parent / "perplexity"
TINY_CHAT = Path(__file__).parent / "tiny" / "chat"
# (context, stride, most windows); odd, and not a multiple of any chunk or page.
TINY_CUTS = [(64, None, 100), (101, None, 3), (50, 17, 8), (3, None, 5)]
# The first is what the tests run, the second what the README reports.
REAL_CUTS = [(128, None, 2), (512, None, 100), (96, 40, 2)]


@torch.no_grad()
def score(model, tokens: list[int], first_scored: int) -> list[float]:
    """The negative log-likelihoods of tokens[first_scored:], each given all before it."""
    logits = golden.logits(model, tokens)[first_scored - 1 : -1]
    targets = torch.tensor(tokens[first_scored:])
    return torch.nn.functional.cross_entropy(logits.double(), targets, reduction="none").tolist()


def record(model, tokens: list[int], bos: int | None, context: int, stride: int | None, most: int) -> dict:
    step = stride or context
    first_scored = context - stride if stride else context // 2 + 1
    windows = []
    for start in list(range(0, len(tokens) - context + 1, step))[:most]:
        window = tokens[start : start + context]
        if bos is not None:
            window[0] = bos
        nlls = score(model, window, first_scored)
        windows.append(round(sum(nlls) / len(nlls), 7))
    return {"context": context, "stride": stride, "scored": context - first_scored, "nll": windows}


def dump(result: dict) -> str:
    """A cut a line."""
    lines = [f"  {json.dumps(cut)}" for cut in result["cuts"]]
    head = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items() if key != "cuts"]
    return "{\n" + ",\n".join(head) + ',\n "cuts": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def main() -> None:
    named = [argument.split("=", 1) for argument in sys.argv[1:]] or [["tiny-chat", str(TINY_CHAT)]]
    # As the command line reads it: one newline at the end is the editor's.
    text = (FOLDER / "text.txt").read_text().removesuffix("\n")
    for name, path in named:
        path = Path(path)
        folder, gguf = (path.parent, path.name) if path.suffix == ".gguf" else (path, None)
        tokenizer = AutoTokenizer.from_pretrained(folder, **({"gguf_file": gguf} if gguf else {}))
        model = golden.load(folder, gguf=gguf)
        tokens = tokenizer(text).input_ids
        bos = tokens[0] if tokens[0] == tokenizer.bos_token_id else None
        cuts = TINY_CUTS if folder == TINY_CHAT else REAL_CUTS
        records = [record(model, tokens, bos, *cut) for cut in cuts]
        origin = f"transformers {transformers.__version__}, torch {torch.__version__}"
        result = {"origin": origin, "tokens": len(tokens), "bos": bos, "cuts": records}
        (FOLDER / f"{name}.json").write_text(dump(result))
        for cut in records:
            perplexity = math.exp(sum(cut["nll"]) / len(cut["nll"]))
            print(f"{name}: -c {cut['context']} --ppl-stride {cut['stride']}: {len(cut['nll'])} windows, {perplexity:.4f}")


if __name__ == "__main__":
    main()

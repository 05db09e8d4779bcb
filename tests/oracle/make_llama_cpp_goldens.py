#!/usr/bin/env python3
"""Records how llama.cpp scores perplexity/text.txt.

    python make_llama_cpp_goldens.py LLAMA_PERPLEXITY MODEL.gguf ...

LLAMA_PERPLEXITY is llama.cpp's `llama-perplexity`, on the CPU. Adds each model's figures to
perplexity/llama_cpp.json (the format is in README.md). `llama-quantize --allow-requantize MODEL.gguf OUT.gguf F32`
makes a file whose result has no rounding of weights and activations to 8 bits.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "perplexity"
OUT = FOLDER / "llama_cpp.json"
CONTEXTS = [128, 512]


def run(tool: str, model: Path, context: int) -> dict:
    # One window at a time; -fa off computes attention in f32, and the cache is f32 as well.
    flags = ["-c", context, "-b", context, "-t", 1, "-fa", "off", "-ctk", "f32", "-ctv", "f32"]
    command = [tool, "-m", model, "-f", FOLDER / "text.txt", *map(str, flags)]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    text = output.stdout + output.stderr
    running = [float(value) for value in re.findall(r"\[\d+\]([\d.]+),", text)]
    final, error = re.search(r"Final estimate: PPL = ([\d.]+) \+/- ([\d.]+)", text).groups()
    return {"context": context, "running": running, "perplexity": float(final), "error": float(error)}


def main() -> None:
    tool, *models = sys.argv[1:]
    result = json.loads(OUT.read_text()) if OUT.exists() else {}
    version = subprocess.run([tool, "--version"], capture_output=True, text=True)
    result["origin"] = (version.stdout + version.stderr).splitlines()[0]
    for model in map(Path, models):
        name = model.stem.lower().replace(".q4_1", "-q4_1").replace(".f32", "-f32")
        result[name] = [run(tool, model, context) for context in CONTEXTS]
        print(name, result[name])
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(result.items())]
        OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

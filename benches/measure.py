#!/usr/bin/env python3
"""Measures whole runs of wgpt and prints the tables of the README.

    cargo build --release && python3 benches/measure.py MODEL [MODEL ...] [-r RUNS]

For each model: prefill of a prompt of some 500 tokens, decoding behind it, decoding from the start, the time to the first
token with an empty shader cache and with a warm one (Mesa's, by MESA_SHADER_CACHE_DIR), and the peak of resident memory
(of the process, which on a software adapter holds the GPU's buffers, too). Medians, with the lowest and the highest.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile

NEW_TOKENS = 32
PROMPT = " ".join(f"Sentence number {n} of this text says that the cat sat on the mat." for n in range(29))


def run(binary, model, prompt, tokens, cache=None):
    """One run: its JSON object and the peak of its resident memory in bytes."""
    command = [binary, "run", "-m", model, "--raw", "--temp", "0", "--ignore-eos", "-n", str(tokens), "--json", "-q", "--", prompt]
    environment = dict(os.environ, **({"MESA_SHADER_CACHE_DIR": cache} if cache else {}))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command[:4])} failed")
    return json.loads(output), usage.ru_maxrss * 1024


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("-r", "--runs", type=int, default=3)
    parser.add_argument("--binary", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "wgpt"))
    arguments = parser.parse_args()
    print("| model | prompt | prefill, t/s | decode behind it, t/s | decode from the start, t/s | first token, cold, s | first token, warm, s | peak, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for model in arguments.models:
        cold, warm, prefill, deep, shallow, peak = [], [], [], [], [], []
        for _ in range(arguments.runs):
            with tempfile.TemporaryDirectory() as cache:
                for times in (cold, warm):
                    result, _ = run(arguments.binary, model, "The capital of France is", 1, cache)
                    times.append(result["timings"]["time_to_first_token_s"])
        run(arguments.binary, model, PROMPT, 2)
        for _ in range(arguments.runs):
            result, memory = run(arguments.binary, model, PROMPT, NEW_TOKENS)
            prefill.append(result["prompt_tokens_per_second"])
            deep.append(result["decode_tokens_per_second"])
            peak.append(memory / 2**20)
            tokens = result["prompt_tokens"]
            result, _ = run(arguments.binary, model, "The", NEW_TOKENS)
            shallow.append(result["decode_tokens_per_second"])
        name = os.path.basename(model.rstrip("/"))
        figures = [spread(prefill), spread(deep), spread(shallow), spread(cold, 2), spread(warm, 2), spread(peak, 0)]
        print(f"| {name} | {tokens} tokens | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures whole runs of wgpt and prints the tables of the README.

    cargo build --release && python3 benches/measure.py MODEL [MODEL ...] [-r RUNS] [--against=FLAGS]

For each model: prefill of a prompt of some 500 tokens, decoding behind it, decoding from the start, the time to the first
token with an empty shader cache and with a warm one (Mesa's, by MESA_SHADER_CACHE_DIR), and the peak of resident memory
(of the process, which on a software adapter holds the GPU's buffers, too). Medians, with the lowest and the highest. With
--against each figure is measured with these flags of `wgpt run`, too, in turns with the plain one.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import tempfile

NEW_TOKENS = 32
PROMPT = " ".join(f"Sentence number {n} of this text says that the cat sat on the mat." for n in range(29))


def run(binary, model, flags, prompt, tokens, cache=None):
    """One run: its JSON object and the peak of its resident memory in bytes."""
    command = [binary, "run", "-m", model, *flags, "--raw", "--temp", "0", "--ignore-eos", "-n", str(tokens), "--json", "-q", "--", prompt]
    environment = dict(os.environ, **({"MESA_SHADER_CACHE_DIR": cache} if cache else {}))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command[:4])} failed")
    return json.loads(output), usage.ru_maxrss * 1024


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


class Figures:
    """What was measured of a model with the same flags."""

    def __init__(self, binary, model, flags):
        self.binary, self.model, self.flags = binary, model, flags
        self.cold, self.warm, self.prefill, self.deep, self.shallow, self.peak = [], [], [], [], [], []
        self.tokens = 0

    def run(self, prompt, tokens, cache=None):
        return run(self.binary, self.model, self.flags, prompt, tokens, cache)

    def measure_start(self):
        with tempfile.TemporaryDirectory() as cache:
            for times in (self.cold, self.warm):
                result, _ = self.run("The capital of France is", 1, cache)
                times.append(result["timings"]["time_to_first_token_s"])

    def measure_speed(self):
        result, memory = self.run(PROMPT, NEW_TOKENS)
        self.prefill.append(result["prompt_tokens_per_second"])
        self.deep.append(result["decode_tokens_per_second"])
        self.peak.append(memory / 2**20)
        self.tokens = result["prompt_tokens"]
        result, _ = self.run("The", NEW_TOKENS)
        self.shallow.append(result["decode_tokens_per_second"])

    def row(self):
        name = " ".join([os.path.basename(self.model.rstrip("/")), *self.flags])
        figures = [spread(self.prefill), spread(self.deep), spread(self.shallow)]
        figures += [spread(self.cold, 2), spread(self.warm, 2), spread(self.peak, 0)]
        return f"| {name} | {self.tokens} tokens | " + " | ".join(figures) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("-r", "--runs", type=int, default=3)
    parser.add_argument("--against", metavar="FLAGS", type=shlex.split, help="such as --against=--deterministic")
    parser.add_argument("--binary", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "wgpt"))
    arguments = parser.parse_args()
    print("| model | prompt | prefill, t/s | decode behind it, t/s | decode from the start, t/s | first token, cold, s | first token, warm, s | peak, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for model in arguments.models:
        flags = [[]] + ([arguments.against] if arguments.against else [])
        rivals = [Figures(arguments.binary, model, each) for each in flags]
        for _ in range(arguments.runs):
            for rival in rivals:
                rival.measure_start()
        for rival in rivals:
            rival.run(PROMPT, 2)
        for _ in range(arguments.runs):
            for rival in rivals:
                rival.measure_speed()
        for rival in rivals:
            print(rival.row(), flush=True)


if __name__ == "__main__":
    main()

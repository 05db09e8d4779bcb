#!/usr/bin/env python3
"""Measures wgpt beside llama.cpp's Vulkan backend: the same adapter, the same GGUF files, in turn.

    cargo build --release && python3 benches/peers/compare.py MODEL.gguf [MODEL.gguf ...] [-r RUNS]

llama.cpp comes prebuilt in the npm package node-llama-cpp, which is installed into the user's cache folder at the first run
(needs node and npm, takes 130 MB). Tests have llama-bench's names: pp512 is a prompt of 512 tokens, tg64 are 64 tokens
generated one by one, "@ d512" is behind 512 tokens of context. Each run of one is followed by a run of the other; the tables
print medians, with the lowest and the highest, and the ratio of the medians.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

PACKAGE = "node-llama-cpp"
VERSION = "3.22.1"
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from measure import spread  # noqa: E402

TESTS = {
    "pp512": {"prompt": 512, "generate": 0, "depth": 0},
    "tg64 @ d512": {"prompt": 0, "generate": 64, "depth": 512},
    "tg64": {"prompt": 0, "generate": 64, "depth": 0},
}


def install():
    """The folder that holds node-llama-cpp, installed there if need be."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    folder = cache / "wgpt" / "peers" / f"{PACKAGE}-{VERSION}"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"installing {PACKAGE} {VERSION} into {folder}", file=sys.stderr)
        machine = {"x86_64": "linux-x64-vulkan"}.get(os.uname().machine)
        if machine is None:
            raise SystemExit(f"{PACKAGE} has no prebuilt Vulkan binary for {os.uname().machine}")
        # Its optional packages are builds for CUDA, 600 MB, and nothing has to be compiled.
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts", "--prefix", folder,
             f"{PACKAGE}@{VERSION}", f"@{PACKAGE}/{machine}@{VERSION}"],
            check=True, stdout=sys.stderr)
        done.touch()
    # node looks for packages beside the script that imports them.
    script = folder / "llama_cpp.mjs"
    script.write_text((HERE / "llama_cpp.mjs").read_text())
    return script


class LlamaCpp:
    """A process that holds the model and measures on request."""

    def __init__(self, script, model, device):
        # llama.cpp leaves out CPU-type devices unless they are named.
        environment = dict(os.environ, GGML_VK_VISIBLE_DEVICES=str(device))
        self.process = subprocess.Popen(
            ["node", script, str(pathlib.Path(model).resolve()), "1280"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.about = self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit("llama.cpp ended without an answer; is there a Vulkan device?")

    def measure(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()["tokens_per_second"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(binary, model, flags, request):
    """wgpt's tokens a second, of one run behind a warm-up."""
    sizes = ["-p", request["prompt"], "-n", request["generate"], "-d", request["depth"]]
    command = [binary, "bench", "model", "-m", model, *map(str, sizes), "-r", "1", "-o", "json", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    (record,) = json.loads(done.stdout)
    return record["avg_ts"]


def compare(llama, binary, model, device, runs):
    """The table's rows: a test's name, the figures of wgpt, and llama.cpp's."""
    flags = ["--backend", "vulkan"] + (["--device", device] if device else [])
    # The first prompt and the first token compile shaders; wgpt sees to that itself.
    for size in [{"prompt": 512, "generate": 0}, {"prompt": 0, "generate": 1}]:
        llama.measure({**size, "depth": 0})
    figures = {name: ([], []) for name in TESTS}
    for _ in range(runs):
        for name, request in TESTS.items():
            figures[name][0].append(measure(binary, model, flags, request))
            figures[name][1].append(llama.measure(request))
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="GGUF files")
    parser.add_argument("-r", "--runs", type=int, default=3)
    parser.add_argument("--device", help="wgpt's device, an index of `wgpt devices` or a part of a name")
    parser.add_argument("--llama-device", type=int, default=0, help="llama.cpp's device: its number among Vulkan's")
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", default=os.path.join(target, "release", "wgpt"))
    arguments = parser.parse_args()
    script = install()
    for model in arguments.models:
        llama = LlamaCpp(script, model, arguments.llama_device)
        print(f"\n{os.path.basename(model)}, llama.cpp {llama.about['release']} on {', '.join(llama.about['devices'])}\n")
        print("| test | wgpt, t/s | llama.cpp Vulkan, t/s | ratio |\n|---|---|---|---|", flush=True)
        figures = compare(llama, arguments.binary, model, arguments.device, arguments.runs)
        for name, (ours, theirs) in figures.items():
            ratio = statistics.median(ours) / statistics.median(theirs)
            print(f"| {name} | {spread(ours, 2)} | {spread(theirs, 2)} | {ratio:.1f} |", flush=True)
        llama.close()


if __name__ == "__main__":
    main()

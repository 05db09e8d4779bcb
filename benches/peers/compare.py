#!/usr/bin/env python3
"""Measures wgpt beside llama.cpp's Vulkan backend: the same adapter, the same GGUF files, in turn.

    cargo build --release && python3 benches/peers/compare.py MODEL.gguf [MODEL.gguf ...] [-r RUNS] [--wgml]

llama.cpp comes prebuilt in the npm package node-llama-cpp, which is installed into the user's cache folder at the first run
(needs node 20 or newer and npm, takes 130 MB). Tests have llama-bench's names: pp512 is a prompt of 512 tokens, tg64 are 64 tokens
generated one by one, "@ d512" is behind 512 tokens of context. Each run of one is followed by a run of the other; the tables
print medians, with the lowest and the highest, and the ratio of the medians.

llama.cpp decides by itself whether to use its flash attention. Where heads have 256 elements, LLVM had not compiled those shaders
for lavapipe after thirteen minutes; --llama-flash-attention off does without.

With --wgml the crate wgml, another engine on wgpu, is measured as well; cargo builds benches/peers/wgml for it, which takes
minutes at the first run. It runs models of the family 'llama', computes prompts token by token and holds weights in f32.

With --variant ROLE=KERNEL,.. wgpt is measured once more with those kernels, in rows of their own.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

PACKAGE = "node-llama-cpp"
VERSION = "3.22.1"
# The oldest node that it runs on.
NODE = 20
CONTEXT = 1280
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from measure import spread  # noqa: E402

TESTS = {
    "pp512": {"prompt": 512, "generate": 0, "depth": 0},
    "tg64 @ d512": {"prompt": 0, "generate": 64, "depth": 512},
    "tg64": {"prompt": 0, "generate": 64, "depth": 0},
}


def need_node():
    for program in ["node", "npm"]:
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed; llama.cpp comes by npm: install node {NODE} or newer, with npm")
    version = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE:
        raise SystemExit(f"{PACKAGE} needs node {NODE} or newer and this is {version}; install a newer one")


def install():
    """node's script of llama.cpp, beside node-llama-cpp, which is installed there if need be."""
    need_node()
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
        installed = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts", "--prefix", folder,
             f"{PACKAGE}@{VERSION}", f"@{PACKAGE}/{machine}@{VERSION}"],
            stdout=sys.stderr)
        if installed.returncode != 0:
            raise SystemExit(f"npm could not install {PACKAGE} {VERSION}; it says why above")
        done.touch()
    # node looks for packages beside the script that imports them.
    script = folder / "llama_cpp.mjs"
    script.write_text((HERE / "llama_cpp.mjs").read_text())
    return script


class Peer:
    """A process that holds the model and measures on request."""

    def __init__(self, name, command, warm_up, **variables):
        self.name = name
        environment = dict(os.environ, **variables)
        # Of interest only if it fails.
        self.complaints = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints, text=True,
            env=environment)
        self.about = self.answer()
        # The first prompt and the first token compile shaders; wgpt sees to that itself.
        for prompt, generate in [(warm_up, 0), (0, 1)]:
            self.measure({"prompt": prompt, "generate": generate, "depth": 0})

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = self.process.wait()
        self.complaints.seek(0)
        last = "".join(self.complaints.readlines()[-20:]).strip()
        raise SystemExit(f"{self.name} ended without an answer, with code {code}; is there a Vulkan device, and can it run the "
                         f"model? It said last:\n{last or '(nothing)'}")

    def measure(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # It has ended, which the missing answer tells.
        return self.answer()["tokens_per_second"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def llama_cpp(script, model, device, flash_attention):
    command = ["node", script, pathlib.Path(model).resolve(), CONTEXT, flash_attention]
    # llama.cpp leaves out CPU-type devices unless they are named.
    without = " without flash attention" if flash_attention == "off" else ""
    peer = Peer(f"llama.cpp Vulkan{without}", command, warm_up=512, GGML_VK_VISIBLE_DEVICES=str(device))
    print(f"llama.cpp {peer.about['release']} on {', '.join(peer.about['devices'])}", file=sys.stderr)
    return peer


def wgml(model, device):
    manifest = HERE / "wgml" / "Cargo.toml"
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    subprocess.run(["cargo", "build", "--release", "--manifest-path", manifest, "--target-dir", target], check=True)
    binary = os.path.join(target, "release", "wgpt-peer-wgml")
    return Peer("wgml", [binary, pathlib.Path(model).resolve(), CONTEXT, device], warm_up=1)


def measure(binary, model, flags, request):
    """wgpt's tokens a second, of one run behind a warm-up."""
    sizes = ["-p", request["prompt"], "-n", request["generate"], "-d", request["depth"]]
    command = [binary, "bench", "model", "-m", model, *map(str, sizes), "-r", "1", "-o", "json", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed; it says why above")
    (record,) = json.loads(done.stdout)
    return record["avg_ts"]


def compare(peers, binary, model, device, variants, tests, runs):
    """The figures of each test: wgpt's by choice of kernels, and those of each peer."""
    flags = ["--backend", "vulkan"] + (["--device", device] if device else [])
    figures = {name: ({variant: [] for variant in variants}, [[] for _ in peers]) for name in tests}
    for _ in range(runs):
        for name in tests:
            request = TESTS[name]
            ours, theirs = figures[name]
            for variant, samples in ours.items():
                chosen = ["--variant", variant] if variant else []
                samples.append(measure(binary, model, flags + chosen, request))
            for peer, samples in zip(peers, theirs):
                samples.append(peer.measure(request))
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="GGUF files")
    parser.add_argument("-r", "--runs", type=int, default=3)
    parser.add_argument("--device", help="wgpt's device, an index of `wgpt devices` or a part of a name")
    parser.add_argument("--llama-device", type=int, default=0, help="llama.cpp's device: its number among Vulkan's")
    parser.add_argument("--llama-flash-attention", choices=["auto", "on", "off"], default="auto",
                        help="whether llama.cpp uses flash attention")
    parser.add_argument("--tests", nargs="+", choices=TESTS, default=list(TESTS), metavar="TEST",
                        help=f"only some of these: {', '.join(TESTS)}")
    parser.add_argument("--variant", metavar="ROLE=KERNEL,..", help="measure wgpt with these kernels as well")
    parser.add_argument("--wgml", action="store_true", help="measure the crate wgml as well")
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", default=os.path.join(target, "release", "wgpt"))
    arguments = parser.parse_args()
    for model in arguments.models:
        if not os.path.isfile(model):
            parser.error(f"there is no file {model}; name GGUF files")
    if not os.path.isfile(arguments.binary):
        parser.error(f"there is no {arguments.binary}; run cargo build --release first, or name wgpt with --binary")
    script = install()
    for model in arguments.models:
        peers = [llama_cpp(script, model, arguments.llama_device, arguments.llama_flash_attention)]
        if arguments.wgml:
            peers.append(wgml(model, peers[0].about["devices"][0]))
        print(f"\n{os.path.basename(model)}\n")
        columns = [f"{peer.name}, t/s | ratio" for peer in peers]
        print(f"| test | wgpt, t/s | {' | '.join(columns)} |\n|---|---|{'---|---|' * len(peers)}", flush=True)
        variants = [None] + ([arguments.variant] if arguments.variant else [])
        figures = compare(peers, arguments.binary, model, arguments.device, variants, arguments.tests, arguments.runs)
        for name, (by_variant, theirs) in figures.items():
            for variant, ours in by_variant.items():
                ratios = [statistics.median(ours) / statistics.median(samples) for samples in theirs]
                cells = [f"{spread(samples, 2)} | {ratio:.1f}" for samples, ratio in zip(theirs, ratios)]
                test = f"{name}, {variant}" if variant else name
                print(f"| {test} | {spread(ours, 2)} | {' | '.join(cells)} |", flush=True)
        for peer in peers:
            peer.close()


if __name__ == "__main__":
    main()

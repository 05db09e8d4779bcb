"""What one tiny model is expected to compute: recorded from transformers in float32, saved as safetensors."""

import json
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
import transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

SEQUENCE_LENGTHS = (1, 7, 45)
GREEDY_PROMPT_LENGTH = 5
GREEDY_TOKENS = 24


def load(folder: Path, config: dict | None = None, gguf: str | None = None):
    """The model of a folder in float32 with eager attention; `config` replaces the folder's config.json."""
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    if config is not None:
        fields = dict(config)
        options["config"] = AutoConfig.for_model(fields.pop("model_type"), **fields)
    if gguf is not None:
        options["gguf_file"] = gguf
    return AutoModelForCausalLM.from_pretrained(folder, **options).eval()


def sequences(vocab_size: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocab_size, length).tolist() for length in SEQUENCE_LENGTHS]


@torch.no_grad()
def logits(model, ids: list[int]) -> torch.Tensor:
    """[len(ids), vocab]. No cache: each call is one full causal forward pass."""
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(
    model, prompt: list[int], steps: int, stop_ids: frozenset[int] = frozenset()
) -> tuple[list[int], list[float]]:
    """Argmax tokens and, for each, how far it stood above the runner-up. Stops after a stop id, which it keeps."""
    ids, gaps = [], []
    for _ in range(steps):
        top = logits(model, prompt + ids)[-1].topk(2)
        ids.append(int(top.indices[0]))
        gaps.append(float(top.values[0] - top.values[1]))
        if ids[-1] in stop_ids:
            break
    return ids, gaps


def record_greedy(model, seed: int) -> dict[str, np.ndarray]:
    prompt = sequences(model.config.vocab_size, seed)[-1][:GREEDY_PROMPT_LENGTH]
    ids, gaps = greedy(model, prompt, GREEDY_TOKENS)
    return {
        "greedy.prompt": np.array(prompt, np.uint32),
        "greedy.ids": np.array(ids, np.uint32),
        "greedy.gaps": np.array(gaps, np.float32),
    }


def record_logits(model, seed: int) -> dict[str, np.ndarray]:
    tensors = {}
    for index, sequence in enumerate(sequences(model.config.vocab_size, seed)):
        tensors[f"input_ids.{index}"] = np.array(sequence, np.uint32)
        tensors[f"logits.{index}"] = logits(model, sequence).numpy()
    return tensors


def record(model, seed: int) -> dict[str, np.ndarray]:
    return {**record_greedy(model, seed), **record_logits(model, seed)}


def difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest absolute difference between two records' logits."""
    return max(float(np.abs(a[key] - b[key]).max()) for key in a if key.startswith("logits."))


def rounding_noise(model, expected: dict[str, np.ndarray], seed: int) -> float:
    """How far float32 stands from float64 on these inputs: what another order of additions may cost.

    Leaves the model in float64.
    """
    return difference(expected, record_logits(model.double(), seed))


def save(tensors: dict[str, np.ndarray], path: Path, seed: int) -> None:
    # One key, as safetensors writes several in a different order each time.
    origin = {"seed": seed, "torch": torch.__version__, "transformers": transformers.__version__}
    safetensors.numpy.save_file(tensors, path, metadata={"origin": json.dumps(origin)})


def seed_of(path: Path) -> int:
    """The seed that a saved record's sequences were drawn with, so that a variant can be asked the same."""
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["origin"])["seed"]


def describe(name: str, tensors: dict[str, np.ndarray]) -> str:
    ids, gaps = tensors["greedy.ids"], tensors["greedy.gaps"]
    last = tensors["logits.2"]
    return (
        f"{name:16} logits {last.shape[0]}x{last.shape[1]} std {last.std():.2f}; "
        f"greedy: {len(set(ids.tolist()))} distinct of {len(ids)}, "
        f"gap min {gaps.min():.4f} median {np.median(gaps):.3f}"
    )

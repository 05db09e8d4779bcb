"""Writes sampler_goldens.json: what Hugging Face transformers' logits processors make of rows of logits.

The processors run in wgpt's order (llama.cpp's): repetition penalty, top-k, top-p, min-p, temperature. `generate`
would divide by the temperature before the filters. Rows hold no equal logits: TopKLogitsWarper keeps all tokens that
tie with the k-th, wgpt keeps k.

Needs torch and transformers. Usage: python make_sampler_goldens.py
"""

import json
from pathlib import Path

import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

VOCAB = 48
CASES = [
    {"name": "temperature", "temperature": 0.7},
    {"name": "top_k", "top_k": 5},
    {"name": "top_p", "top_p": 0.9},
    {"name": "top_p_zero", "top_p": 0.0},
    {"name": "min_p", "min_p": 0.05},
    {"name": "min_p_one", "min_p": 1.0},
    {"name": "repeat", "repeat_penalty": 1.3, "recent": [3, 3, 7, 40, 11, 0]},
    {"name": "reward_repeats", "repeat_penalty": 0.5, "recent": [1, 2, 3]},
    {"name": "defaults", "temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    {
        "name": "everything",
        "temperature": 1.7,
        "top_k": 20,
        "top_p": 0.8,
        "min_p": 0.02,
        "repeat_penalty": 1.2,
        "recent": list(range(0, 48, 5)),
    },
]


def distribution(logits: torch.Tensor, case: dict) -> torch.Tensor:
    scores = logits[None]
    recent = torch.tensor([case.get("recent", [])], dtype=torch.long)
    if "repeat_penalty" in case:
        scores = RepetitionPenaltyLogitsProcessor(case["repeat_penalty"])(recent, scores.clone())
    if "top_k" in case:
        scores = TopKLogitsWarper(case["top_k"])(recent, scores)
    if "top_p" in case:
        scores = TopPLogitsWarper(case["top_p"])(recent, scores)
    if "min_p" in case:
        scores = MinPLogitsWarper(case["min_p"])(recent, scores)
    if "temperature" in case:
        scores = TemperatureLogitsWarper(case["temperature"])(recent, scores)
    return scores.softmax(dim=-1)[0]


def main() -> None:
    generator = torch.Generator().manual_seed(20)
    goldens = []
    for case in CASES:
        logits = torch.round(torch.randn(VOCAB, generator=generator) * 3, decimals=3)
        assert len(set(logits.tolist())) == VOCAB, case["name"]
        probabilities = distribution(logits, case)
        kept = {str(i): float(f"{p:.7g}") for i, p in enumerate(probabilities.tolist()) if p > 0}
        goldens.append({**case, "logits": [round(x, 3) for x in logits.tolist()], "probabilities": kept})
    path = Path(__file__).with_name("sampler_goldens.json")
    path.write_text("[\n" + ",\n".join(json.dumps(golden) for golden in goldens) + "\n]\n")


if __name__ == "__main__":
    main()

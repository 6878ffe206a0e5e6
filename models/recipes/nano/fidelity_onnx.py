"""Whether an exported verifier is the trained one: step by step as at once, and in int8 as in float32.

    python models/recipes/nano/fidelity_onnx.py RUN/calibrated.pt nano-prm-float32.onnx nano-prm-int8.onnx \\
        --tokenizer RUN/tokenizer.json --rollouts RUN/dev.jsonl

The first solutions of the rollouts are fed to the float32 file a step at a time and compared with PyTorch's scores of
the whole; then both files judge all rollouts, and the within-problem AUC of each is given with how far their scores lie
apart.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from evaluate import within_problem_auc
from model import Verifier, load_verifier
from rollouts import ProblemRollouts, read_rollouts, step_ends
from tokenizer import NanoTokenizer

NUM_COMPARED = 200


class Graph:
    """A session that keeps the past of one sequence."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        properties = self.session.get_modelmeta().custom_metadata_map
        sizes = {name: int(properties[f"edgesearch.{name}"]) for name in ("layers", "kv_heads", "head_dim", "hidden")}
        self.blank = np.zeros((1, sizes["kv_heads"], 0, sizes["head_dim"]), np.float32)
        self.names = [f"past_key_values.{i}.{kind}" for i in range(sizes["layers"]) for kind in ("key", "value")]
        self.width = sizes["hidden"]
        self.reset()

    def reset(self) -> None:
        self.past = [self.blank] * len(self.names)
        self.hidden = np.zeros((1, self.width), np.float32)

    def read(self, ids: Sequence[int]) -> Any:
        """Scores of the new tokens, (tokens,)."""
        start = self.past[0].shape[2]
        found = self.session.run(
            None,
            {
                "input_ids": np.array([ids]),
                "position_ids": np.arange(start, start + len(ids))[None],
                "attention_mask": np.ones((1, start + len(ids)), np.int64),
                "past_state.hidden": self.hidden,
                **dict(zip(self.names, self.past, strict=True)),
            },
        )
        self.past = [np.concatenate((old, new), 2) for old, new in zip(self.past, found[2:], strict=True)]
        self.hidden = found[1][:, -1]
        return found[0][0]


@torch.inference_mode()
def largest_difference(
    verifier: Verifier, tokenizer: NanoTokenizer, graph: Graph, problems: Sequence[ProblemRollouts]
) -> float:
    """Between step scores read a step at a time and PyTorch's of the whole solution."""
    largest = 0.0
    for problem in problems:
        rollout = problem.samples[0]
        whole = torch.sigmoid(verifier(torch.tensor([problem.prompt + rollout.ids])))[0].numpy()
        graph.reset()
        graph.read(problem.prompt)
        start = 0
        for end in step_ends(tokenizer, rollout):
            score = graph.read(rollout.ids[start:end])[-1]
            largest = max(largest, abs(float(score - whole[len(problem.prompt) + end - 1])))
            start = end
    return largest


def last_scores(graph: Graph, problems: Sequence[ProblemRollouts]) -> list[list[float]]:
    found: list[list[float]] = []
    for problem in problems:
        scores = []
        for rollout in problem.samples:
            graph.reset()
            scores.append(float(graph.read(problem.prompt + rollout.ids)[-1]))
        found.append(scores)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare an exported verifier with the trained one; one JSON line.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("float32", type=Path)
    parser.add_argument("int8", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, required=True)
    args = parser.parse_args()
    tokenizer, problems = NanoTokenizer(args.tokenizer), read_rollouts(args.rollouts)
    full, small = Graph(args.float32), Graph(args.int8)
    _, verifier = load_verifier(args.weights)
    exact, quantized = last_scores(full, problems), last_scores(small, problems)
    differences = [abs(a - b) for x, y in zip(exact, quantized, strict=True) for a, b in zip(x, y, strict=True)]
    figures = {
        "step_by_step_largest_difference": largest_difference(verifier, tokenizer, full, problems[:NUM_COMPARED]),
        "auc_float32": within_problem_auc(problems, exact)[0],
        "auc_int8": within_problem_auc(problems, quantized)[0],
        "int8_mean_difference": float(np.mean(differences)),
        "int8_largest_difference": max(differences),
        "solutions": len(differences),
    }
    print(json.dumps({name: float(f"{figure:.4g}") for name, figure in figures.items()}))


if __name__ == "__main__":
    main()

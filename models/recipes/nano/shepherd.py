"""Labels by rollouts instead of by program, as for tasks whose steps no program can judge; and how far the two agree.

    python models/recipes/nano/shepherd.py RUN/nano.pt --tokenizer RUN/tokenizer.json --rollouts RUN/train.jsonl \\
        --problems 1500 --completions 8 --out RUN/shepherd.jsonl

Math-Shepherd's hard estimate (Wang et al. 2023, arXiv 2312.08935): a step is right if at least one of k completions
from it reaches a right answer. Here, as with the labels by program, nothing is right after the first mistake; the
last step's label is whether the answer is right. The file is one that `train_verifier.py` reads.

What it gets wrong: a right step that the solver cannot finish counts as wrong, and a wrong one from which an answer
is hit by chance counts as right. Both grow as the solver gets smaller.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from model import Decoder, load_decoder
from rollouts import ProblemRollouts, read_rollouts, sample, save_rollouts, stated_answer, step_ends
from tokenizer import NanoTokenizer

from edgesearch.tasks import arithmetic
from edgesearch.tasks.arithmetic import ArithmeticSample

MAX_ROWS = 768


def relabel(
    decoder: Decoder, tokenizer: NanoTokenizer, problems: Sequence[ProblemRollouts], num_completions: int
) -> Iterator[ProblemRollouts]:
    for problem in problems:
        prefixes = [
            (index, problem.prompt + rollout.ids[:end])
            for index, rollout in enumerate(problem.samples)
            for end in step_ends(tokenizer, rollout)[:-1]
        ]
        is_reached = _reach(decoder, tokenizer, problem, [ids for _, ids in prefixes], num_completions)
        labels: list[list[int]] = [[] for _ in problem.samples]
        for (index, _), reached in zip(prefixes, is_reached, strict=True):
            labels[index].append(int(reached and all(labels[index])))
        relabelled = [
            replace(rollout, labels=[*found, int(rollout.is_correct and all(found))])
            for rollout, found in zip(problem.samples, labels, strict=True)
        ]
        yield replace(problem, samples=relabelled)


def _reach(
    decoder: Decoder,
    tokenizer: NanoTokenizer,
    problem: ProblemRollouts,
    prefixes: Sequence[list[int]],
    num_completions: int,
) -> list[bool]:
    """For each prefix, whether a completion's answer is right."""
    graded = ArithmeticSample("", problem.problem, problem.target, (), problem.family, problem.level, "")
    found: list[bool] = []
    group = max(1, MAX_ROWS // num_completions)
    for start in range(0, len(prefixes), group):
        drawn = sample(decoder, tokenizer, prefixes[start : start + group], num_completions, 1.0)
        for completions in drawn:
            answers = [stated_answer(tokenizer.decode(ids)) for ids in completions]
            found.append(any(arithmetic.grade(graded, stated) for stated in answers))
    return found


def agreement(by_program: Sequence[ProblemRollouts], by_rollouts: Sequence[ProblemRollouts]) -> dict[str, float]:
    """Of all steps but the last, how many labels are equal, and how the others differ."""
    pairs = [
        (ours, theirs)
        for a, b in zip(by_program, by_rollouts, strict=True)
        for x, y in zip(a.samples, b.samples, strict=True)
        for ours, theirs in list(zip(x.labels, y.labels, strict=False))[:-1]
    ]
    return {
        "steps": len(pairs),
        "equal": sum(a == b for a, b in pairs) / len(pairs),
        "right_called_wrong": sum(a > b for a, b in pairs) / max(1, sum(a for a, _ in pairs)),
        "wrong_called_right": sum(a < b for a, b in pairs) / max(1, sum(1 - a for a, _ in pairs)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Label steps by rollouts; one JSON line says how far that agrees.")
    parser.add_argument("solver", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rollouts", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=1500)
    parser.add_argument("--completions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tokenizer = NanoTokenizer(args.tokenizer)
    _, decoder = load_decoder(args.solver, args.device)
    problems = read_rollouts(args.rollouts)
    chosen = problems[:: max(1, len(problems) // args.problems)][: args.problems]
    relabelled = list(relabel(decoder, tokenizer, chosen, args.completions))
    save_rollouts(args.out, relabelled)
    print(json.dumps(agreement(chosen, relabelled)))


if __name__ == "__main__":
    main()

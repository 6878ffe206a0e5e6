"""JSON for programs: one object with `schema_version`, always valid: no NaN, no lone surrogates, ASCII only.

ASCII because stdout may have any encoding; a JSON reader sees the same text.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from itertools import zip_longest

import click

from edgesearch.types import SCHEMA_VERSION, Solution

_SURROGATE = re.compile("[\ud800-\udfff]")


def solution_object(solution: Solution, seed: int) -> dict[str, object]:
    """What `edgesearch solve --json` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "answer": solution.answer,
        "text": solution.text,
        "finish": solution.finish,
        "confidence": solution.confidence,
        "is_calibrated": solution.is_calibrated,
        "agreement": solution.agreement,
        "proof": solution.proof,
        "tests": None if solution.tests is None else {**asdict(solution.tests), "is_passed": solution.tests.is_passed},
        "budget_s": solution.budget_s,
        "wall_s": solution.wall_s,
        "load_s": solution.load_s,
        "strategy": asdict(solution.strategy),
        "models": asdict(solution.models),
        "usage": asdict(solution.usage),
        "warnings": solution.warnings,
        "steps": [
            {"text": text, "score": score}
            for text, score in zip_longest(solution.steps, solution.scores[: len(solution.steps)])
        ],
        "num_candidates": len(solution.candidates),
        "early_stop": solution.early_stop,
        "plan": None if solution.plan is None else {**asdict(solution.plan), "reason": solution.plan.reason},
        "seed": seed,
    }


def error_object(message: str, exit_code: int) -> dict[str, object]:
    """What `--json` prints when a command fails."""
    return {"schema_version": SCHEMA_VERSION, "error": {"message": message, "exit_code": exit_code}}


def echo(fields: Mapping[str, object]) -> None:
    """Prints one object on one line of stdout, at once."""
    click.echo(dumps(fields))


def dumps(fields: Mapping[str, object]) -> str:
    """The object as one line of JSON; numbers that JSON lacks (NaN, infinities) become null."""
    return json.dumps(_clean(fields), allow_nan=False)


def _clean(value: object) -> object:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_SURROGATE.sub("\ufffd", str(key)): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case _:
            return value

"""A solve made by hand: two waves and the safety lane on one prompt, a revision, a copy, hostile text."""

from collections.abc import Iterator

from edgesearch.events import Event, Grew, Progress, Scored, Solved, Started, WaveStarted
from edgesearch.trace.model import Trace
from edgesearch.trace.recorder import record
from edgesearch.types import (
    Beam,
    Candidate,
    Finish,
    ModelNames,
    PlanUsed,
    Prompt,
    Solution,
    Step,
    StrategyUsed,
    Usage,
    WaveUsed,
)

HOSTILE = "</script><img src=x onerror=alert(1)> <!-- \"quotes' & ${x} \x1b[31m \x00 \u202eevil 🦆 שלום"
PROBLEM = f"What is 6 times 7?\n{HOSTILE}"
BEAM = StrategyUsed("beam", 4, 2, "last", {"granularity": 1})
MAJORITY = StrategyUsed("majority", 8, 1, "last")
GREEDY = StrategyUsed("greedy", 1, 1, "last")
PLAN = PlanUsed((WaveUsed(BEAM, "it is the widest that fits", 0.0, 0.8),), 0.2, 3, "a policy")
ROOT = Prompt("?", id=100)
MODELS = ModelNames("nano", "nano-prm", check="arithmetic")

STEPS: dict[int, tuple[int, int, str, Finish, float, float | None]] = {
    # id: wave, parent, text, finish, at_s, score
    101: (-1, 100, "6 times 7 is 41.\n\n", "step", 0.05, None),
    102: (-1, 101, r"The answer is \boxed{41}", "stop", 0.1, None),
    103: (0, 100, "Six sevens: 6 × 7 = 42.\n\n", "step", 0.1, 0.9),
    104: (0, 100, "6 + 7 = 13.\n\n", "step", 0.1, 0.1),
    105: (0, 100, "Six sevens: 6 × 7 = 42.\n\n", "step", 0.1, None),  # a copy of 103
    106: (0, 103, HOSTILE + "\n\n", "step", 0.2, 0.8),
    107: (0, 103, "So it is 42.\n\n", "step", 0.2, 0.95),
    108: (0, 107, r"The answer is \boxed{42}", "stop", 0.3, 0.98),
    109: (0, 107, "It might be 4", "length", 0.35, 0.3),
    110: (1, 100, r"\boxed{42}", "stop", 0.4, 0.7),
    111: (1, 100, "Let me see", "deadline", 0.5, None),
    112: (1, 200, r"Again: \boxed{42}", "stop", 0.5, 0.6),  # 200 is a prompt that shows an attempt
}


def grew() -> Iterator[Event]:
    """The steps and their scores, in the order of time."""
    for id_, (wave, parent, text, finish, at_s, score) in STEPS.items():
        yield Grew(wave, id_, parent, text, len(text) // 4, -0.25 * len(text), finish, id_ == 108 or None, at_s)
        if score is not None:
            yield Scored(id_, score, at_s + 0.02)


def beam(*ids: int) -> Beam:
    """The beam of those steps."""
    steps = tuple(Step(STEPS[id_][2], (1, 2), -1.0, STEPS[id_][3], id=id_) for id_ in ids)
    scores = tuple(score for id_ in ids if (score := STEPS[id_][5]) is not None)
    return Beam(ROOT, steps, scores)


def solution(**changes: object) -> Solution:
    """The solution that the steps lead to."""
    chosen = beam(103, 107, 108)
    fields: dict[str, object] = {
        "answer": "42",
        "text": chosen.text,
        "finish": "stop",
        "confidence": 0.9,
        "budget_s": 2.0,
        "wall_s": 0.55,
        "load_s": 0.1,
        "strategy": BEAM,
        "models": MODELS,
        "usage": Usage(prompt_tokens=9, decoded_tokens=60),
        "warnings": (f"a warning {HOSTILE}",),
        "candidates": (
            Candidate(chosen, "42", 0.98, 0.3),
            Candidate(beam(110), "42.0", 0.7, 0.4),
            Candidate(beam(101, 102), "41", None, 0.1),
            Candidate(beam(112), "42", 0.6, 0.5),
        ),
        "id": "p-1",
        "early_stop": "settled",
        "agreement": 0.75,
        "plan": PLAN,
    }
    return Solution(**{**fields, **changes})  # type: ignore[arg-type]


def events(**changes: object) -> Iterator[Event]:
    """The events of the solve."""
    yield Started(PROBLEM, 2.0, 0.1, MODELS, BEAM, "it is the widest that fits", ())
    for number, used in ((-1, GREEDY), (0, BEAM), (1, MAJORITY)):
        yield WaveStarted(number, ROOT.id, WaveUsed(used, "because", max(0.0, 0.4 * number), 0.3))
    found = solution(**changes)
    lane = Candidate(beam(101, 102), "41", 0.2, 0.1)
    yield Progress(1.8, (), lane, 1, 20, 100.0)
    yield Progress(1.7, (), lane, 1, 30, 100.0)
    yield Progress(1.6, (), found.candidates[0] if found.candidates else None, 2, 40, 100.0)
    yield from grew()
    yield Solved(found)


def trace(**changes: object) -> Trace:
    """The trace of the solve; `changes` are of the solution."""
    return record(events(**changes))

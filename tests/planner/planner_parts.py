"""What the tests of the planner are made of: a device, a vote, a moment of a solve, and a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from edgesearch.engines.base import Pace
from edgesearch.jobs import Situation
from edgesearch.planner.confidence import Calibration
from edgesearch.planner.policy import Bin, Policy, Row, TunedOn, Weights
from edgesearch.planner.predict import Outlook
from edgesearch.planner.profile import Profile
from edgesearch.planner.standing import Standing, Tally
from edgesearch.types import Beam, Candidate, Finish, Prompt, Step

PROMPT = Prompt("2 + 2?")
SLOW = Outlook(
    Profile.of_pace(Pace(((1, 0.02), (4, 0.03), (16, 0.07)), prefill_tokens_per_s=200), 0.0005),
    prompt_tokens=100,
    mean_solution_tokens=200,
    mean_step_tokens=20,
    max_tokens=1024,
)
"""A 1B model on two cores: 50 tokens a second alone, 230 in a batch of 16."""


def steady(pass_s: float, *, mean: float = 10, max_tokens: int = 1000) -> Outlook:
    """A device on which every pass takes as long, whatever its width, and nothing else takes time."""
    profile = Profile.of_pace(Pace(((1, pass_s),), prefill_tokens_per_s=1e9), 0.0)
    return Outlook(profile, 10, mean, max(1.0, mean / 5), max_tokens, is_prompt_read=True)


def candidate(
    stated: str | None, score: float | None = None, proof: bool | None = None, finish: Finish = "stop"
) -> Candidate:
    """A finished solution that states this."""
    return Candidate(Beam(PROMPT, (Step("x", (1,), -1.0, finish),), proof=proof), stated, score)


def standing(candidates: Iterable[Candidate]) -> Standing:
    """The vote over them."""
    tally = Tally()
    for each in candidates:
        tally.add(each)
    return tally.standing()


def votes(counts: Mapping[str, int], score: float | None = None) -> Standing:
    """The vote in which each answer has as many votes, all of that score."""
    return standing(candidate(stated, score) for stated, count in counts.items() for _ in range(count))


def moment(
    now: Standing,
    *,
    left_s: float = 10.0,
    num_living: int = 0,
    num_waves: int = 1,
    num_finished: int | None = None,
    tokens: float = 10,
) -> Situation:
    """A moment of a solve whose solutions are so many tokens long."""
    finished = now.num_candidates if num_finished is None else num_finished
    return Situation(left_s, now, num_living, num_waves, finished, round(tokens * finished), prompt_tokens=10)


def row(strategy: str, n: int, accuracy: float, *, passes: float = 10, m: int = 1) -> Row:
    """A setting that was measured: how right it is, and in how many passes of the solver."""
    return Row(strategy, n, m, accuracy, (0.0, 1.0), passes, passes, passes * n, 4.0, passes * n, 1.0)


SURE = Calibration(intercept=0.0, lead=1.0, best=0.0, typical_best=0.0)
"""Says of 9 votes to none that the answer is right with 0.97, and of 4 to 4 with 0.5."""


def policy(
    rows: Iterable[Row], *, bins: Iterable[Iterable[Row]] = (), calibration: Calibration | None = SURE
) -> Policy:
    """What was measured; with bins, by mean scores of 0.8, 0.6, 0.4 and 0.2."""
    made = tuple(Bin(10, 0.5, tuple(each)) for each in bins)
    return Policy(
        solver=Weights("nano", "0" * 64),
        verifier=Weights("nano-prm", "1" * 64),
        tuned_on=TunedOn("arithmetic", "tune", 0, 100, "digest", None),
        date="2025-01-01",
        edgesearch="0",
        overall=tuple(rows),
        edges=(0.8, 0.6, 0.4, 0.2) if made else (),
        bins=made,
        oracle_bins=(),
        calibration=calibration,
    )


def slower(outlook: Outlook, factor: float) -> Outlook:
    """The same device when it is so many times as slow."""
    return dataclasses.replace(outlook, slowdown=factor)

"""The planner of `--strategy auto`: which search next, how wide, and when enough is known.

A solve is made of waves, searches whose solutions vote together. Where a policy is known (policy.py), the first wave is
narrow: its scores tell how hard the problem is, and if the vote is then as likely right as was asked for, it is over.
Without one the first wave is the widest that should end in time. When a wave has drained to half its width the next one
starts, the best that the policy has for problems of this difficulty in the seconds left, or as wide as still fits; so
the engine's batch stays full until the deadline. A wave that is late grows fewer beams from then on.

It stops before the deadline when
* `confidence`: the calibrated probability that the leading answer is right has reached the one asked for;
* `dominance`: all that could still be drawn in the seconds left would not change the vote;
* `settled`: the leader is the solver's most frequent answer with a probability of 0.999 (the Beta criterion of
  early_stop.py, on weighted votes), so that more samples would hardly change the vote. It may be a wrong answer: where
  the solver and its verifier err alike, more of the same does not help, and the seconds are given back;
* `no_time`: no further solution could be drawn to its end.
Answers that are proven wrong by an exact check have no vote, so a problem that can be checked goes on to its proof.
Programs are chosen by their scores, not by votes: of these reasons only `no_time` ends a search for one, and the driver
ends it once a program passes all visible tests.

Not covered: seconds (profile.py, predict.py), what was measured (policy.py), running (driver.py).

Sources: compute-optimal scaling by difficulty: Snell et al., arXiv 2408.03314 (section 3.2); the Beta criterion:
Aggarwal et al., arXiv 2305.11860 (section 3).
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch import search
from edgesearch.jobs import Situation, Wave
from edgesearch.planner.pace import PaceMeter
from edgesearch.planner.policy import Policy, Row
from edgesearch.planner.predict import Outlook, predict_row_s, predict_s
from edgesearch.planner.standing import Standing
from edgesearch.planner.width import SHARE, Plan, least_s, plan
from edgesearch.search.base import SearchConfig, Strategy
from edgesearch.search.early_stop import posterior
from edgesearch.types import Aggregator, Beam, StopReason

PROBE_N = 4
"""Beams of the first wave where a policy tells how hard a problem is by them."""
_PROBE_SHARE = 0.3
"""Of the budget: the most that a first narrow wave may take."""
_MIN_VOTES = 4
"""Candidates from which on a vote may end a solve, and the difficulty is read."""
_SETTLED = 0.999
_MANY_VOTES, _SETTLED_DEVIATIONS = 100, 3.1
"""From so many votes on, the same by the normal distribution: the exact sum takes too long."""
_MIN_SETTLED = 32
"""Candidates from which on a vote may be called settled."""
_SHORTEST = 0.5
"""Of the mean length: how short a solution is taken to be at least, when counting what could still be drawn."""
_CROWDED = 1.5
"""How much wider than the room that is left a measured setting may be; it is run as wide as there is room."""
_PRIOR_SOLUTIONS = 4
"""How many solutions the length that the manifest gives weighs against those that were drawn."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

    strategy: Strategy
    """What runs where no policy says better."""
    aggregator: Aggregator
    max_n: int
    """Most beams alive together."""
    m: int = 4
    confidence: float | None = None
    """Calibrated probability from which on to stop; None for never."""
    is_tested: bool = False
    """Whether solutions are programs that are tried on tests: all of them have scores, and no vote ends the solve."""

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0.5 < self.confidence < 1:
            raise ValueError(f"confidence must be in (0.5, 1), not {self.confidence}")


class AutoPlanner:
    """Implements `jobs.WavePlanner` for one solve."""

    def __init__(self, wish: Wish, outlook: Outlook, policy: Policy | None, meter: PaceMeter) -> None:
        """Makes one.

        Args:
            wish: what was asked for.
            outlook: what is known of the device and the problem.
            policy: what was measured of these models; None where nothing was.
            meter: tells how slow the device is now.
        """
        self._wish, self._outlook, self._policy, self._meter = wish, outlook, policy, meter
        self._prior_tokens = outlook.mean_solution_tokens
        self._refill_at = 0
        self._is_exhausted = False
        self.difficulty: int | None = None
        """Bin of the problem, 1 (easiest) to 5, once it is known."""

    # -- the first wave --------------------------------------------------------------------------------------------

    def begin(self, left_s: float, room: int | None = None) -> Plan:
        """What runs first.

        Args:
            left_s: seconds left.
            room: beams that the engine has room for beside other problems'; None for as many as are wished for.
        """
        greedy = search.strategy("greedy")
        probe = self._probe(left_s, room)
        if probe is not None:
            self._refill_at = probe.config.n // 2
            alone = least_s(greedy, self._outlook)
            return Plan(probe.strategy, probe.config, True, probe.predicted_s, probe.reason, alone)
        wish = self._wish
        first = plan(
            wish.strategy,
            greedy,
            self._outlook,
            budget_s=left_s,
            n=wish.max_n,
            m=wish.m,
            aggregator=wish.aggregator,
            room=room,
        )
        self._refill_at = first.config.n // 2
        is_greedy = first.strategy.name == greedy.name
        if is_greedy and not wish.is_tested:  # nobody scores its solution, so those that follow vote without scores
            self._wish = dataclasses.replace(wish, strategy=search.strategy("majority"))
        return dataclasses.replace(first, has_safety_lane=not is_greedy)

    def _probe(self, left_s: float, room: int | None) -> Wave | None:
        """A narrow first wave, where its scores are worth waiting for."""
        if self._policy is None or self._policy.calibration is None or not self._wish.strategy.needs_scores:
            return None
        n = min(PROBE_N, self._wish.max_n, self._wish.max_n if room is None else room)
        wave = self._wave(self._wish.strategy, n, self._wish.m, 0)
        if wave is None or wave.predicted_s > _PROBE_SHARE * left_s:
            return None
        reason = f"{n} beams tell how hard it is, in about {wave.predicted_s:.2g} s of {left_s:.3g} s"
        return dataclasses.replace(wave, reason=reason)

    # -- what comes then -------------------------------------------------------------------------------------------

    def is_due(self, num_living: int) -> bool:
        """Whether few drafts are left and another wave may still fit."""
        return not self._is_exhausted and num_living <= self._refill_at

    def decide(self, now: Situation) -> Wave | StopReason | None:
        """The next wave, a reason to stop, or None to let what is under way go on."""
        self._learn(now)
        reason = self._reason_to_stop(now)
        if reason is not None:
            return reason
        if now.num_living > self._refill_at:
            return None
        wave = self._next(now)
        self._is_exhausted = wave is None
        if wave is not None:
            self._refill_at = (now.num_living + wave.config.n) // 2
            return wave
        return None if now.num_waves else "no_time"

    def width(self, wave: Wave, beams: Sequence[Beam], left_s: float) -> int:
        """As many of the beams as should end in time, at least one."""
        mean = self._outlook.mean_solution_tokens
        rest = max(self._outlook.mean_step_tokens, mean - beams[0].num_tokens)
        width = len(beams)
        while width > 1 and rest * self._outlook.pass_s(width) > left_s:
            width //= 2
        return width

    # -- the parts -------------------------------------------------------------------------------------------------

    def _learn(self, now: Situation) -> None:
        """Takes in how fast the device is, how long solutions are, and how hard the problem is."""
        known = self._prior_tokens * _PRIOR_SOLUTIONS + now.finished_tokens
        self._outlook = dataclasses.replace(
            self._outlook,
            slowdown=self._meter.slowdown,
            prompt_tokens=now.prompt_tokens or self._outlook.prompt_tokens,
            mean_solution_tokens=known / (_PRIOR_SOLUTIONS + now.num_finished),
            is_prompt_read=True,
            num_elsewhere=now.num_elsewhere,
        )
        if self._policy is not None and now.standing.num_candidates >= _MIN_VOTES:
            self.difficulty = self._policy.bin_of(now.standing.mean_score)

    def _reason_to_stop(self, now: Situation) -> StopReason | None:
        standing = now.standing
        if self._wish.is_tested or standing.answer is None or standing.num_candidates < _MIN_VOTES:
            return None
        if self._is_confident(standing):
            return "confidence"
        if standing.weight - standing.rival_weight > self._most_votes_left(now):
            return "dominance"
        return "settled" if _is_settled(standing) else None

    def _is_confident(self, standing: Standing) -> bool:
        policy, target = self._policy, self._wish.confidence
        if target is None or policy is None or policy.calibration is None or standing.mean_score is None:
            return False  # it was fitted to votes with scores
        return policy.calibration.probability(standing) >= target

    def _most_votes_left(self, now: Situation) -> float:
        """More solutions than could be drawn in the time left."""
        n = self._wish.max_n
        alone = dataclasses.replace(self._outlook, num_elsewhere=0)  # other problems may end at any time
        tokens_per_s = n / max(1e-9, alone.pass_s(n))
        num_waiting = max(0, now.num_finished - now.standing.num_candidates)  # for their scores
        num_more = max(0.0, now.left_s) * tokens_per_s / (_SHORTEST * self._outlook.mean_solution_tokens)
        return now.num_living + num_waiting + num_more

    def _next(self, now: Situation) -> Wave | None:
        """The best wave that should end in the time left."""
        room = self._wish.max_n - now.num_living
        room = room if now.room is None else min(room, now.room)
        if room < 1:
            return None
        return self._by_policy(now, room) or self._widest(now, room)

    def _by_policy(self, now: Situation, room: int) -> Wave | None:
        if self._policy is None:
            return None

        def seconds_of(row: Row) -> float:
            return predict_row_s(row, self._outlook) if self._is_possible(row, room) else float("inf")

        row = self._policy.best(self.difficulty, seconds_of, SHARE * now.left_s, tolerance=0.0)
        if row is None:
            return None
        n = min(row.n, room)
        wave = self._wave(search.strategy(row.strategy), n, row.m, now.num_living)
        if wave is None:
            return None
        kind = "problems like this" if self.difficulty is None else f"problems of difficulty {self.difficulty} of 5"
        reason = f"{row.strategy} with n={row.n} answers {row.accuracy:.0%} of {kind}, {now.left_s:.2g} s are left"
        reason += f" and room for {n}" if n < row.n else ""
        return dataclasses.replace(wave, reason=reason)

    def _is_possible(self, row: Row, room: int) -> bool:
        """Whether there is room for most of it, and its solutions can vote with those of other waves."""
        return row.n <= _CROWDED * room and _votes_alike(row.strategy, self._wish.strategy.name)

    def _widest(self, now: Situation, room: int) -> Wave | None:
        """As wide as should still end in time; a single solution if need be."""
        wish, n = self._wish, room
        while n >= 1:
            wave = self._wave(wish.strategy, n, wish.m, now.num_living)
            if wave is not None and wave.predicted_s <= SHARE * now.left_s:
                return dataclasses.replace(wave, reason=f"{now.left_s:.2g} s are left for {n} more")
            n //= 2
        return None

    def _wave(self, strategy: Strategy, n: int, m: int, beside: int) -> Wave | None:
        """A wave with its prediction; None where the strategy cannot run with that n."""
        config = SearchConfig(n=n, m=min(m, n) if strategy.uses_m else 1, aggregator=self._wish.aggregator)
        options = strategy.options()
        try:
            strategy.check(config, options)
        except ValueError:
            return None
        predicted = predict_s(strategy, config, options, self._outlook, beside=beside)
        return Wave(strategy, config, options, predicted_s=predicted)


def _is_settled(standing: Standing) -> bool:
    """Whether the leader is ahead for good, by votes that weigh what their scores say."""
    if standing.num_candidates < _MIN_SETTLED:
        return False
    leader, rival = standing.weight, standing.rival_weight
    if leader + rival > _MANY_VOTES:
        return leader - rival >= _SETTLED_DEVIATIONS * math.sqrt(leader + rival)
    return posterior(int(leader), math.ceil(rival)) >= _SETTLED


@functools.lru_cache(maxsize=256)  # asked for every row of a policy, whenever a wave is chosen
def _votes_alike(name: str, own: str) -> bool:
    """Whether a strategy's solutions can vote with those of another one, by the verifier that the other one uses."""
    if name not in search.names():
        return False
    strategy, other = search.strategy(name), search.strategy(own)
    return strategy.selection == other.selection and (other.is_stepwise or not strategy.is_stepwise)

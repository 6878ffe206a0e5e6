"""Calibration: measures a device's profile in a few seconds, on throw-away drafts, before the first solve.

What is most needed comes first: prompts, then the narrowest and the widest pass on a short and on a longer context,
points that the fit never sees, by which it is checked, the verifier, and the widths in between. A point that would not
end within the seconds granted is left out. Medians, since a busy machine is slow now and then; for the same
reason all points are measured again, some time later, where that costs little or more seconds were granted.

A verifier is timed on made-up solutions. One that runs programs or asks another language model should not be: it would
be asked about texts that nobody wrote (profile_cache.py takes its own estimate).

Not covered: files (profile_cache.py), the fit (profile.py), engines behind an endpoint (their own pace is taken).
"""

import dataclasses
import datetime
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile

from edgesearch.budget import Clock
from edgesearch.engines.base import TIMED_BLOCK, Engine, EngineInfo, Timed
from edgesearch.errors import EdgesearchError
from edgesearch.planner.profile import ROUGH_RESIDUAL, Identity, Point, Profile, fit, line, value_at
from edgesearch.types import Beam, Finish, Prompt, Step, next_id
from edgesearch.verifiers.base import Verifier

DEFAULT_LIMIT_S = 8.0
MAX_LIMIT_S = 3600.0

Report = Callable[[str], None]
"""Is told what is measured next, in a few words."""

_WIDTHS = (1, 2, 4, 8, 16, 32, 64)
_COARSE_WIDTHS = (4, 16)
_HELD_OUT_WIDTHS = (3, 12, 48)
_FEW_PASSES, _MANY_PASSES = 3, 6
_ROUNDS = 3
"""For every `DEFAULT_LIMIT_S`."""
_SOON_S = 1.0
"""A first use does not wait longer than that for rounds beyond the first."""
_POINT_SHARE = 0.01
"""Of the seconds granted, what the passes of one point may take, unless that is fewer than a few."""
_PREFILL_TOKENS = (32, 128)
_PREFILL_SHARE = 0.3
_VERIFIED_BEAMS = (1, 4, 12)
_VERIFIER_SHARE = 0.25
_QUICK_S, _REPEATS = 0.05, 3
"""What takes less is repeated so often."""
_PROBLEM = "A shop sells pens at 3 for 2. How much are 12 pens, 5 books at 4 each and a bag at 17?"


def calibrate(
    engine: Engine,
    verifier: Verifier | None,
    *,
    identity: Identity | None = None,
    limit_s: float = DEFAULT_LIMIT_S,
    clock: Clock = time.perf_counter,
    on_progress: Report | None = None,
) -> Profile:
    """Measures what work costs on this device.

    Args:
        engine: the solver's; nothing may be open.
        verifier: None without one, or with one that must not be asked about made-up solutions.
        identity: what the profile is of, for one that is kept.
        limit_s: seconds that it may take, about; in (0, 3600].
        clock: what the seconds granted are measured by.
        on_progress: is told what comes next.

    Returns:
        The profile; a rough one where the engine cannot be timed.

    Raises:
        ValueError: `limit_s` is out of range.
    """
    if not 0 < limit_s <= MAX_LIMIT_S:
        raise ValueError(f"limit_s must be in (0, {MAX_LIMIT_S:g}], not {limit_s}")
    verify_call_s, verify_token_s = 0.0, verifier.seconds_per_token if verifier is not None else 0.0
    if not isinstance(engine, Timed):
        return Profile.of_pace(engine.pace, verify_token_s)
    session = _Session(engine, engine.info, limit_s, clock, on_progress)
    prefill_base_s, prefill_token_s = session.time_prefills()
    session.take_coarse()
    if verifier is not None and _is_worth_timing(verifier):
        verify_call_s, verify_token_s = session.time_verifier(engine, verifier)
    session.take_fine()
    session.take_again()
    decode_s, context_s = fit(session.points())
    profile = Profile(
        decode_s=decode_s,
        context_s=context_s,
        prefill_base_s=prefill_base_s,
        prefill_token_s=prefill_token_s,
        verify_call_s=verify_call_s,
        verify_token_s=verify_token_s,
        fork_s=engine.time_fork(),
        bytes_per_token=engine.bytes_per_token,
        max_sequences=engine.info.max_sequences,
        residual=ROUGH_RESIDUAL,
        measured_s=session.used_s(),
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        identity=identity,
        points=tuple(session.points()),
    )
    errors = [abs(profile.error(point)) for point in profile.points if not point.is_fitted]
    return dataclasses.replace(profile, residual=statistics.median(errors)) if errors else profile


def _is_worth_timing(verifier: Verifier) -> bool:
    """Whether it runs weights on what it is given: others cost next to nothing, and certainties cannot be made up."""
    return verifier.info.num_params > 0 and not verifier.info.needs_certainty


class _Session:
    """The points taken so far, and the seconds that are left for others."""

    def __init__(self, engine: Timed, info: EngineInfo, limit_s: float, clock: Clock, report: Report | None) -> None:
        self._seconds: dict[tuple[int, int, bool], list[float]] = {}
        """Of passes, by width, context tokens, and whether the fit is to see them."""
        self._engine, self._info, self._limit_s, self._clock, self._report = engine, info, limit_s, clock, report
        self._started = clock()
        self._widths = _widths(info.max_sequences)
        self._short, self._long = 2 * TIMED_BLOCK, _long_context(info.max_context)
        self._first_s = self._token_s = 0.0
        """Of the shortest prompt, and of one token more in a batch: what a pass takes before any was measured."""

    def used_s(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._started

    def time_prefills(self) -> tuple[float, float]:
        """Base and seconds per token of reading a prompt."""
        self._say("prompts")
        pairs: list[tuple[float, float]] = []
        for wanted in _PREFILL_TOKENS:
            num_tokens = max(1, min(wanted, self._info.max_context // 2))
            if pairs and pairs[0][1] * num_tokens / pairs[0][0] > _PREFILL_SHARE * self._limit_s:
                break
            pairs.append((num_tokens, _median_s(partial(self._engine.time_prefill, num_tokens))))
        self._first_s = pairs[0][1]
        base_s, self._token_s = _token_line(pairs)
        return base_s, self._token_s

    def take_coarse(self) -> None:
        """The narrowest and the widest pass, a few in between, and those that the fit is checked on."""
        self._say("passes")
        widest = self._widths[-1]
        self._take_all(dict.fromkeys((1, widest)))
        self._take_all(width for width in _COARSE_WIDTHS if width < widest)
        for width in _HELD_OUT_WIDTHS:
            if width < widest:
                self._take(width, self._long // 2, is_fitted=False)

    def take_fine(self) -> None:
        """The other widths."""
        self._say("passes of other widths")
        taken = {width for width, _, _ in self._seconds}
        self._take_all(width for width in self._widths if width not in taken)

    def take_again(self) -> None:
        """All of them once more, and so on, as long as that is cheap or was asked for."""
        most_s = self._limit_s if self._limit_s > DEFAULT_LIMIT_S else min(_SOON_S, self._limit_s)
        round_s = self.used_s()
        for _ in range(max(1, round(_ROUNDS * self._limit_s / DEFAULT_LIMIT_S)) - 1):
            if self.used_s() + round_s > most_s:
                return
            self._say("all passes again")
            for width, context_tokens, is_fitted in list(self._seconds):
                self._take(width, context_tokens, is_fitted=is_fitted)

    def points(self) -> list[Point]:
        """The medians."""
        return [
            Point(width, context_tokens, max(1e-9, statistics.median(seconds)), is_fitted)
            for (width, context_tokens, is_fitted), seconds in self._seconds.items()
        ]

    def time_verifier(self, engine: Engine, verifier: Verifier) -> tuple[float, float]:
        """Seconds per call and per solution token of judging made-up solutions."""
        self._say("the verifier")
        try:
            pairs = list(self._judgings(engine, verifier))
        except EdgesearchError:  # the first solve meets the same, and there a user can act on it
            pairs = []
        return _token_line(pairs) if pairs else (0.0, verifier.seconds_per_token)

    # -- passes ----------------------------------------------------------------------------------------------------

    def _take_all(self, widths: Iterable[int]) -> None:
        """Measures widths at the contexts that lines are fitted to, all of them at the shorter one first."""
        chosen = list(widths)
        for context_tokens in sorted({self._short, self._long}):
            for width in chosen:
                self._take(width, context_tokens)

    def _take(self, width: int, context_tokens: int, *, is_fitted: bool = True) -> None:
        """Measures a point, if there is time for it; the first in any case."""
        guess_s = self._guess_s(width, context_tokens)
        num_passes = max(_FEW_PASSES, min(_MANY_PASSES, int(_POINT_SHARE * self._limit_s / max(guess_s, 1e-6))))
        if self._seconds and self.used_s() + guess_s * (num_passes + 1) > self._limit_s:
            return
        seconds = self._engine.time_pass(width, context_tokens, num_passes)
        if not seconds and not self._seconds:
            seconds = [self._first_s]  # an engine that has no room to time a pass: the prompt's is some measure
        if seconds:
            self._seconds.setdefault((width, context_tokens, is_fitted), []).extend(seconds)

    def _guess_s(self, width: int, context_tokens: int) -> float:
        """What a pass should take, by what was measured; of a wider one, rather too much."""
        if not self._seconds:
            return self._first_s
        decode_s, context_s = fit(self.points())
        widest = decode_s[-1][0]
        known_s = value_at(decode_s, min(width, widest)) + value_at(context_s, width) * context_tokens
        return known_s + 2 * self._token_s * max(0, width - widest)

    def _say(self, what: str) -> None:
        if self._report is not None:
            self._report(what)

    # -- the verifier ----------------------------------------------------------------------------------------------

    def _judgings(self, engine: Engine, verifier: Verifier) -> Iterator[tuple[float, float]]:
        """Tokens and seconds of calls with more and more solutions."""
        prompt = Prompt(_PROBLEM)
        steps = _made_up_steps(engine, _VERIFIED_BEAMS[-1], "stop" if verifier.info.is_outcome else "step")
        verifier.open(prompt, _token_ids(engine, prompt))
        most_s = _VERIFIER_SHARE * self._limit_s / len(_VERIFIED_BEAMS)
        try:
            for num_beams in _VERIFIED_BEAMS:
                some = steps[:num_beams]
                num_tokens = sum(len(step.token_ids) for step in some)
                if verifier.seconds_per_token * num_tokens > most_s:
                    break
                yield num_tokens, _median_s(partial(self._judge, verifier, prompt, some))
        finally:
            verifier.release([prompt.id])

    def _judge(self, verifier: Verifier, prompt: Prompt, steps: Sequence[Step]) -> float:
        """Seconds of a call with a solution of each step, all of them new to the verifier."""
        beams = [Beam(prompt, (dataclasses.replace(step, id=next_id()),)) for step in steps]
        started = self._clock()
        verifier.judge(beams)
        seconds = self._clock() - started
        verifier.release([beam.node for beam in beams])
        return seconds


def _token_line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Base and seconds per token, which noise must not make 0: every token is work."""
    base_s, token_s = line(pairs)
    return (base_s, token_s) if token_s > 0 else (0.0, pairs[-1][1] / pairs[-1][0])


def _median_s(timed: Callable[[], float]) -> float:
    """Of a few runs; of one, where that takes long."""
    seconds = [timed()]
    while seconds[0] < _QUICK_S and len(seconds) < _REPEATS:
        seconds.append(timed())
    return statistics.median(seconds)


def _widths(max_sequences: int) -> list[int]:
    """Widths to fit at: powers of two, and the widest that there is room for."""
    return [width for width in _WIDTHS if width < max_sequences] + [max_sequences]


def _long_context(max_context: int) -> int:
    """As long as many a solution with its prompt, in whole blocks, at most half of what the model holds."""
    wanted = 256 if max_context >= 1024 else 128
    return max(2 * TIMED_BLOCK, min(wanted, max_context // 2 // TIMED_BLOCK * TIMED_BLOCK))


def _made_up_steps(engine: Engine, count: int, finish: Finish) -> list[Step]:
    """Steps of one or two dozen tokens, in text and in the solver's tokens, no two alike."""
    texts = [f"{7 * n + 5} + {n} = {8 * n + 5}, so {8 * n + 5} are left.\n\n" for n in range(1, count + 1)]
    ids = _unframed([_token_ids(engine, Prompt(text)) for text in texts])
    return [Step(text, token_ids, -1.0, finish) for text, token_ids in zip(texts, ids, strict=True)]


def _token_ids(engine: Engine, prompt: Prompt) -> tuple[int, ...]:
    ids = engine.open(prompt)
    engine.release([prompt.id])
    return ids


def _unframed(rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Prompts' ids without what all begin and end with, the chat template's; never empty."""
    num_before = _num_alike(rows)
    num_after = _num_alike([row[num_before:][::-1] for row in rows])
    return [row[num_before : len(row) - num_after] or row for row in rows]


def _num_alike(rows: Sequence[tuple[int, ...]]) -> int:
    """How many ids all begin with alike."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False)))

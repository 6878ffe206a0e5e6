"""Scores for a driver: what is judged when, so that no step is read twice and no deadline is overrun.

Beams that searches wait for are judged at once, all together; finished samples when enough of them share a call, or
nothing is drawn any more. A verifier whose scores depend on all solutions of a problem gets them in one call, and those
of a problem that still draws wait. A beam is judged once, and so are beams that were drawn with the same tokens. A call
that would outlast a deadline is not made; one that can be cut short at the deadline is.

Not covered: scoring itself (verifiers/), what follows from scores (search/, choice.py).
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence

from edgesearch.errors import UsageError
from edgesearch.jobs import Job
from edgesearch.search.base import Strategy
from edgesearch.types import Beam
from edgesearch.under_way import Key, RunningJob, RunningWave, final_s
from edgesearch.verifiers.base import Verifier, is_bounded, judged_within

_JUDGE_TOKENS = 1024
"""Solution tokens judged in one call at most, so that the clock is looked at in between."""
_EAGER_BEAMS = 8
"""Finished samples that are judged together while others are still being drawn."""
_PESSIMISM = 1.25
"""How much longer than measured a verifier call is taken to last."""

_Waiting = list[tuple[RunningJob, RunningWave | None, Beam]]
"""Beams that wait for a score, each with its job and, while it lives, its wave."""


class Judging:
    """Has a verifier judge the beams of all jobs of a driver."""

    def __init__(self, verifier: Verifier | None) -> None:
        """Makes one; without a verifier nothing has a score."""
        self._verifier = verifier

    def check(self, strategy: Strategy) -> None:
        """Whether what a strategy needs to have scored can be.

        Raises:
            UsageError: there is no verifier, none that scores steps, or tests are drawn for one that reads none.
        """
        if not strategy.needs_scores:
            return
        if self._verifier is None:
            raise UsageError(f"strategy {strategy.name} needs a verifier; use --verifier, or --strategy majority")
        info = self._verifier.info
        if info.reads_tests and not strategy.draws_tests:
            raise UsageError(f"verifier {info.name} needs tests that the solver writes; use --strategy codet")
        if strategy.draws_tests and not info.reads_tests:
            raise UsageError(
                f"strategy {strategy.name} has the solver write tests, and verifier {info.name} reads none; "
                "use --verifier agreement"
            )
        if strategy.is_stepwise and info.is_outcome:
            raise UsageError(
                f"strategy {strategy.name} needs step scores, and {info.name} scores whole solutions only; "
                "use --strategy best_of_n or weighted"
            )

    def reads_certainty(self, strategy: Strategy) -> bool:
        """Whether the drafts of a strategy are to tell how sure the solver was."""
        is_read = strategy.needs_scores and self._verifier is not None and self._verifier.info.needs_certainty
        return strategy.needs_certainty or is_read

    def seconds(self, num_tokens: int) -> float:
        """That judging so many solution tokens may take; 0 without a verifier."""
        return 0.0 if self._verifier is None else num_tokens * self._verifier.seconds_per_token * _PESSIMISM

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these nodes."""
        if self._verifier is not None:
            self._verifier.release(nodes)

    def open(self, running: RunningJob, token_ids: Sequence[int]) -> None:
        """Reads a job's prompt, if the job's solutions are to be scored."""
        if self._verifier is None or not running.is_scored:
            return
        count = self._verifier.open(running.job.prompt, token_ids)
        info = self._verifier.info
        flops = 2.0 * info.num_params * count + info.attention_flops_per_token_context * count**2 / 2
        running.usage = dataclasses.replace(running.usage, verifier_prompt_tokens=count, verifier_flops=flops)

    def room(self, job: Job, prompt_tokens: int) -> int:
        """Tokens that a solution may have, so that the verifier can read it."""
        if self._verifier is None or not job.strategy.needs_scores:
            return job.max_tokens
        return max(1, (self._verifier.info.max_context or job.max_tokens + prompt_tokens) - prompt_tokens)

    def judge_waiting(self, jobs: Collection[RunningJob], *, is_drawing: bool) -> None:
        """Judges what searches wait for, and finished samples once there are enough of them to share a call.

        Args:
            jobs: all that are under way.
            is_drawing: whether drafts are, so that samples may wait for others.
        """
        blocked = {
            (id(running), key): (running, wave, beam)
            for running in jobs
            for wave in running.waves
            for key, beam in self.blocked(running, wave)
        }
        eager: dict[tuple[int, Key], tuple[RunningJob, RunningWave | None, Beam]] = {
            (id(running), key): (running, None, beam)
            for running in jobs
            if not (self._is_collective and running.num_under_way)
            for key, beam in running.unjudged.items()
        }
        if not blocked and is_drawing and len(eager) < self._num_eager:
            return
        self._judge_in_time(list((eager | blocked).values()), jobs)

    def blocked(self, running: RunningJob, wave: RunningWave) -> Iterator[tuple[Key, Beam]]:
        """Beams without which a wave does not go on, each with what tells it from others."""
        for beam in running.waiting(wave):
            if not self.scored(running, wave, beam).is_judged:
                key = self.key(beam)
                yield ((f"wave {wave.number}", *key) if beam.is_alive else key), beam

    def judge_rest(self, running: RunningJob, jobs: Collection[RunningJob]) -> None:
        """Judges what a job that ends has finished, as far as there is time."""
        self._judge_in_time([(running, None, beam) for beam in running.unjudged.values()], jobs)

    def _judge_in_time(self, waiting: _Waiting, jobs: Collection[RunningJob]) -> None:
        """Judges call by call, as long as the deadlines allow; what other solutions are judged by comes first."""
        waiting.sort(key=lambda each: (each[0].job.deadline.at, not each[2].prompt.asks_tests))
        while waiting:
            batch, waiting = self._next_batch(waiting, jobs)
            if not batch:
                return
            self._judge(batch, jobs)

    def _next_batch(self, waiting: _Waiting, jobs: Collection[RunningJob]) -> tuple[_Waiting, _Waiting]:
        """As many as fit one call and every job's deadline; beams that a deadline forbids are dropped."""
        assert self._verifier is not None
        pace = self.seconds(1)
        least_pace = 0.0 if is_bounded(self._verifier) else pace
        batch: _Waiting = []
        tokens, time_left = 0, _others_left_s(waiting, jobs)
        for index, (running, _, beam) in enumerate(waiting):
            new = beam.num_unjudged_tokens
            left = min(time_left, running.job.deadline.remaining() - final_s(running.job.deadline) / 2)
            if (tokens + new) * least_pace > left:
                continue
            # What takes no time sees all beams together, and so does what compares them.
            if batch and pace and tokens + new > _JUDGE_TOKENS and not self._is_collective:
                return batch, waiting[index:]
            batch.append(waiting[index])
            tokens, time_left = tokens + new, left
        return batch, []

    @property
    def _num_eager(self) -> int:
        """Finished samples that are worth a call; a single one may end the search where a score can be enough."""
        can_end = self._verifier is not None and self._verifier.info.enough is not None
        return 1 if can_end else _EAGER_BEAMS

    @property
    def _is_collective(self) -> bool:
        return self._verifier is not None and self._verifier.info.is_collective

    def _judge(self, batch: _Waiting, jobs: Collection[RunningJob]) -> None:
        assert self._verifier is not None
        deadlines = [running.job.deadline for running, _, _ in batch]
        own_left_s = min(deadline.remaining() - final_s(deadline) / 2 for deadline in deadlines)
        left_s = min(own_left_s, _others_left_s(batch, jobs))
        judged_beams = judged_within(self._verifier, [beam for _, _, beam in batch], left_s)
        for (running, wave, beam), judged in zip(batch, judged_beams, strict=True):
            if judged.beam.is_judged:
                self._book_scores(running, wave, beam, judged.beam, judged.verified_tokens)
        for running in {id(running): running for running, _, _ in batch}.values():
            running.usage = dataclasses.replace(running.usage, verifier_calls=running.usage.verifier_calls + 1)

    def _book_scores(
        self, running: RunningJob, wave: RunningWave | None, beam: Beam, judged: Beam, num_tokens: int
    ) -> None:
        assert self._verifier is not None
        key, info = self.key(beam), self._verifier.info
        if beam.is_alive and wave is not None:
            wave.judged[key] = judged
        else:
            running.judged[key] = judged
            running.unjudged.pop(key, None)
            self._count_judged(running, key)
        context = running.usage.prompt_tokens + beam.num_tokens - num_tokens / 2
        flops = num_tokens * (2.0 * info.num_params + info.attention_flops_per_token_context * context)
        running.usage = dataclasses.replace(
            running.usage,
            verified_tokens=running.usage.verified_tokens + num_tokens,
            verifier_flops=running.usage.verifier_flops + flops,
        )
        running.trace_scores(beam, judged)

    def _count_judged(self, running: RunningJob, key: Key) -> None:
        """Takes into the vote the beams that waited for these scores: the one that was judged, and copies of it."""
        for beam in running.uncounted.pop(key, ()):
            running.count(beam, self.scored(running, None, beam))

    def key(self, beam: Beam) -> Key:
        """What was drawn, token by token: equal for beams that are copies of each other, and so have equal scores."""
        drawn = tuple(step.token_ids or step.text for step in beam.steps)
        is_each_counted = self._verifier is not None and self._verifier.info.counts_copies
        return (str(beam.node), *drawn) if is_each_counted else drawn

    def scored(self, running: RunningJob, wave: RunningWave | None, beam: Beam) -> Beam:
        """The beam with its scores where its tokens have been judged; copies of one text become one beam."""
        if beam.is_judged:
            return beam
        key = self.key(beam)
        judged = None if beam.is_alive else running.judged.get(key)
        if judged is None and wave is not None:
            judged = wave.judged.get(key)
        if judged is None:
            return beam
        return judged if judged.finish == beam.finish else Beam(beam.prompt, beam.steps, judged.scores, beam.proof)

    def cannot_judge(self, running: RunningJob) -> bool:
        """Whether the search waits for scores that the time left does not allow: waiting on is of no use."""
        if running.num_under_way or self._verifier is None or is_bounded(self._verifier):
            return False
        waiting = [beam for wave in running.waves for _, beam in self.blocked(running, wave)]
        if not waiting:
            return False
        least = self.seconds(min(beam.num_unjudged_tokens for beam in waiting))
        return least > running.job.deadline.remaining() - final_s(running.job.deadline) / 2


def _others_left_s(waiting: _Waiting, jobs: Collection[RunningJob]) -> float:
    """Seconds until a job that has no beam among these must end."""
    own = {id(running) for running, _, _ in waiting}
    left = [running.left_s for running in jobs if id(running) not in own]
    return max(0.0, min(left, default=float("inf")))

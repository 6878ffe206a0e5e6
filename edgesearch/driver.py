"""Runs searches: the only place where strategies, engine, verifier and clock meet.

Many searches run at once: every turn, all drafts of all searches share one pass of the engine, and all beams that
wait for a score share one call of the verifier. A search that reaches its deadline is closed and answers with the
candidates that it has; so is one that ends by itself. Nothing is done twice: a beam is judged once, and so are two
beams that were drawn with the same tokens. Where there is an exact check, each finished solution goes through it once,
before anything else reads it, and a search with an answer that is proven right is closed at once. So is one with a
solution whose score needs no better: a program that passes all visible tests.

A job with a planner is made of waves: it is asked, after every new candidate and when few drafts are left under way,
whether to start another search or to stop. Near the deadline, solutions under way are made to state their answer where
none is in hand.

Not covered: choosing among candidates (choice.py), planning (planner), what is kept of a job (under_way.py).
"""

import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from edgesearch import search
from edgesearch.budget import Clock, Deadline
from edgesearch.choice import choose
from edgesearch.engines.base import Draft, Drafted, Engine
from edgesearch.engines.sampling import mix_seed
from edgesearch.errors import ContextOverflow
from edgesearch.events import Event
from edgesearch.jobs import LANE, Job, JobResult, JobView, Situation, Wave
from edgesearch.judging import Judging
from edgesearch.search.base import Expand, Judge, SearchConfig
from edgesearch.search.early_stop import verdict
from edgesearch.types import Beam, Candidate
from edgesearch.under_way import RunningJob, RunningWave, final_s, rebased, truncated
from edgesearch.verifiers.base import Verifier, num_tests_of
from edgesearch.verifiers.checks import Check, prove

_CANDIDATE_S = 4e-6
"""Kept back before a deadline for each finished solution: what gathering and counting it takes."""
_CLOSE_S = 0.002
"""What ending a job takes: so much earlier it ends where the next one ends right after it."""
_NUM_TIMED = 8
"""Passes of which the shortest says what a pass takes at least."""
_MAX_CUT_OFF = 4
"""Programs for which time is kept to try them though the deadline cuts them off; others are tried if it lasts."""
_MAX_CLOSING_SHARE = 0.3
"""Of the budget: the most that is left for stating answers near the deadline."""


class Meter(Protocol):
    """Watches how long passes of the engine last."""

    def observe(self, num_sequences: int, seconds: float) -> None:
        """Books one pass; must be quick."""
        ...


class Driver:
    """Runs jobs to their end; used from one thread."""

    def __init__(
        self,
        engine: Engine,
        verifier: Verifier | None,
        check: Check | None = None,
        *,
        meter: Meter | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Makes one.

        Args:
            engine: drafts.
            verifier: scores; None where no job needs scores.
            check: an exact check that fits the problems that will be submitted; programs do not go through it.
            meter: is told how long each pass lasts.
            clock: what the meter's passes are measured by.
        """
        self._engine = engine
        self._verifier = verifier
        self._judging = Judging(verifier)
        self._check = check
        self._meter = meter
        self._clock = clock
        self._jobs: dict[int, RunningJob] = {}
        self._owners: dict[int, tuple[RunningJob, RunningWave | None]] = {}
        """Of each draft under way; no wave for the safety lane of a job without a planner."""
        self._numbers = itertools.count()
        self._passes_s: deque[float] = deque(maxlen=_NUM_TIMED)
        self.num_waiting = 0
        """Problems that wait for room elsewhere: planned jobs leave them their share."""
        self.kept_places: int | None = None
        """Places that planned jobs leave free for whoever comes next; None where jobs do not share the engine."""

    # -- from outside ----------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> int:
        """Accepts a job and returns its number.

        Raises:
            UsageError: its strategy needs a verifier and there is none, or none that scores steps.
            ValueError: n, m and the strategy's options do not go together.
            ContextOverflow: its prompt does not fit.
        """
        running = RunningJob(job, max_tokens=job.max_tokens)
        try:
            self._judging.check(job.strategy)
            job.strategy.check(job.config, job.first.options)
            self._begin(running, self._engine.open(job.prompt))
        except BaseException:
            for drafted in self._engine.cancel(self._drafts(running)):  # the safety lane's may have begun
                del self._owners[drafted.draft.id]
            self._free({job.prompt.id})  # it may have been open before
            raise
        number = next(self._numbers)
        self._jobs[number] = running
        self._keep_back()
        return number

    def turn(self) -> list[tuple[int, JobResult]]:
        """One round for all jobs: deadlines, scores, one pass of the engine. Returns the jobs that ended."""
        self._judging.judge_waiting(self._jobs.values(), is_drawing=bool(self._owners))
        self._look_at_scores()
        self._keep_back()
        for running in self._jobs.values():
            self._go_on(running)
        # A job that must end does so first: a pass that its deadline interrupts would be lost to the others.
        if self._owners and not any(self._is_decided(running) for running in self._jobs.values()):
            self._advance()
            self._keep_back()
        return self._collect_ended()

    @property
    def num_jobs(self) -> int:
        """Jobs under way."""
        return len(self._jobs)

    @property
    def num_places(self) -> int:
        """Of the engine: a job takes one for each beam, and one for its prompt and its safety lane."""
        return self._engine.info.max_sequences

    @property
    def num_free(self) -> int:
        """Places that no job has; negative where jobs were submitted that do not fit side by side."""
        return self.num_places - sum(running.num_places for running in self._jobs.values())

    @property
    def num_living(self) -> int:
        """Beams of all jobs that still grow, safety lanes of planned jobs among them."""
        return sum(running.num_living for running in self._jobs.values())

    def view(self, number: int) -> JobView:
        """How a running job stands."""
        running = self._jobs[number]
        living = {beam.node: (wave, beam) for wave in running.waves for beam in wave.frontier}
        beams = [(beam, running.score(self._judging.scored(running, wave, beam))) for wave, beam in living.values()]
        beams.sort(key=lambda pair: -1.0 if pair[1] is None else pair[1], reverse=True)
        best, count = running.tally.best, len(running.candidates)
        if best is None:  # nothing is counted yet, or one search is all
            candidates = self._candidates(running)
            best, count = choose(candidates, running.job.selection).candidate, len(candidates)
        return JobView(tuple(beams), best, count, running.usage.decoded_tokens)

    def events(self, number: int) -> list[Event]:
        """What a traced job did since it was asked last."""
        running = self._jobs[number]
        events, running.events = running.events, []
        return events

    def close(self) -> None:
        """Drops all jobs without their results; the engine and the verifier hold nothing of them afterwards.

        For a solve that was abandoned or failed: nothing is judged, and no state is relied on.
        """
        self._engine.clear()
        for running in self._jobs.values():
            for wave in running.waves:
                wave.search.close()
            self._judging.release(running.nodes)
        self._jobs.clear()
        self._owners.clear()

    # -- beginning -------------------------------------------------------------------------------------------------

    def _begin(self, running: RunningJob, token_ids: Sequence[int]) -> None:
        job = running.job
        running.prompt_lengths[job.prompt.id] = len(token_ids)
        running.max_tokens = min(running.max_tokens, self._judging.room(job, len(token_ids)))
        running.prompts.add(job.prompt.id)
        running.usage = dataclasses.replace(running.usage, prompt_tokens=len(token_ids))
        self._judging.open(running, token_ids)
        if job.is_tested and self._verifier is not None:
            running.num_tests = num_tests_of(self._verifier, job.prompt)
        if job.has_safety_lane:
            self._start_lane(running)
        self._start_wave(running, job.first, 0)

    def _start_lane(self, running: RunningJob) -> None:
        """A greedy draft beside the search: a wave of its own where there is a planner, else a fallback."""
        job = running.job
        greedy = Wave(search.strategy("greedy"), SearchConfig(1, 1, job.config.aggregator), reason="the safety lane")
        if job.planner is not None:
            self._start_wave(running, greedy, LANE)
            return
        running.trace_wave(LANE, greedy)
        root = Beam(job.prompt)
        running.lane = self._draft(
            running, root, Expand([root], is_to_end=True, temperature=0.0), mix_seed(job.seed, 0)
        )
        running.lane_id = running.lane.id
        self._owners[running.lane_id] = running, None
        self._engine.start(running.lane)

    def _start_wave(self, running: RunningJob, wave: Wave, number: int) -> None:
        job = running.job
        seed = job.seed if number <= 0 else mix_seed(job.seed ^ 0x5EED, number)
        config = wave.config if number <= 0 else dataclasses.replace(wave.config, seed=seed & 0x7FFFFFFF)
        generator = wave.strategy.run(Beam(job.prompt), config, wave.options)
        started = RunningWave(number, wave, generator, seed)
        running.waves.append(started)
        running.num_waves = max(running.num_waves, number + 1)
        if number > 0:
            running.begun.append(wave.begun(job.deadline.elapsed()))
        running.trace_wave(number, wave)
        self._continue(running, started)

    # -- requests --------------------------------------------------------------------------------------------------

    def _go_on(self, running: RunningJob) -> None:
        """Lets its waves go on, and asks its planner for more of them."""
        if running.is_forced or running.ends_well is not None:
            return
        for wave in list(running.waves):
            self._continue(running, wave)
        self._ask_planner(running)
        self._force_answers(running)

    def _continue(self, running: RunningJob, wave: RunningWave) -> None:
        """Answers fulfilled requests until the search waits for something or ends."""
        while not wave.is_over:
            reply = self._reply(running, wave)
            if reply is None and wave.request is not None:
                return
            try:
                wave.request = next(wave.search) if reply is None else wave.search.send(reply)
            except StopIteration:
                self._end_wave(running, wave)
                return
            if isinstance(wave.request, Expand):
                self._expand(running, wave, wave.request)

    def _end_wave(self, running: RunningJob, wave: RunningWave) -> None:
        wave.end()
        if running.job.planner is not None:
            self._release_wave(wave, wave.nodes)
            running.waves.remove(wave)

    def _reply(self, running: RunningJob, wave: RunningWave) -> list[Beam] | None:
        """The reply to the current request once it is complete."""
        if isinstance(wave.request, Expand):
            if wave.slots:
                return None
            return [beam for beam in wave.replies if beam is not None]
        if isinstance(wave.request, Judge):
            beams = [self._judging.scored(running, wave, beam) for beam in wave.request.beams]
            return beams if all(beam.is_judged for beam in beams) else None
        return None

    def _expand(self, running: RunningJob, wave: RunningWave, request: Expand) -> None:
        request = self._narrowed(running, wave, request)
        unopened = self._open_prompts(running, wave, request)
        wanted = {beam.node for beam in (*request.beams, *request.keep)}
        self._release_wave(wave, wave.nodes - wanted)
        root = running.job.prompt.id
        if root not in wanted and not self._keeps_prompt(running):
            self._release(running, {root})
        wave.replies = [None] * len(request.beams)
        wave.frontier = list(request.beams)
        wave.is_rollout = request.is_rollout
        for place, beam in enumerate(request.beams):
            if beam.prompt.id in unopened:
                continue
            if beam.num_tokens >= running.max_tokens:
                wave.replies[place] = self._ended(running, wave, truncated(beam))
            else:
                draft = self._start(running, wave, beam, request)
                wave.slots[draft.id] = place

    def _narrowed(self, running: RunningJob, wave: RunningWave, request: Expand) -> Expand:
        """The request with as many beams as there is still time for."""
        planner = running.job.planner
        if planner is None or not wave.wave.strategy.can_narrow or not request.beams or not request.beams[0].steps:
            return request
        width = planner.width(wave.wave, request.beams, running.left_s)
        if width >= len(request.beams):
            return request
        scores = [running.score(beam) for beam in request.beams]
        order = sorted(range(len(scores)), key=lambda place: -(scores[place] or 0.0))
        return dataclasses.replace(request, beams=[request.beams[place] for place in sorted(order[: max(1, width)])])

    def _keeps_prompt(self, running: RunningJob) -> bool:
        return running.lane is not None or running.job.planner is not None

    def _open_prompts(self, running: RunningJob, wave: RunningWave, request: Expand) -> set[int]:
        """Opens the prompts that a search made; returns those that do not fit, whose beams cannot be grown."""
        unopened: set[int] = set()
        prompts = {beam.prompt.id: beam.prompt for beam in request.beams if not beam.steps}
        for prompt in prompts.values():
            if prompt.id in running.prompts or prompt.id in wave.nodes:
                continue
            try:
                running.prompt_lengths[prompt.id] = len(self._engine.open(prompt))
                wave.nodes.add(prompt.id)
            except ContextOverflow as error:
                unopened.add(prompt.id)
                what = "a request for tests" if prompt.asks_tests else "a solution was not revised, since it"
                running.warnings.setdefault(f"{what} did not fit: {error}")
        return unopened

    def _start(self, running: RunningJob, wave: RunningWave, beam: Beam, request: Expand) -> Draft:
        # The first child goes on with its parent's stream, so that one beam grown step by step is one sample.
        inherited = None if request.is_rollout else wave.seeds.pop(beam.node, None)
        own = wave.next_seed()
        seed = own if inherited is None else inherited
        draft = self._draft(running, beam, request, seed)
        self._owners[draft.id] = running, wave
        self._engine.start(draft)
        return draft

    def _drafts(self, running: RunningJob) -> list[int]:
        """Of a job: what is being drawn, or waits to be."""
        return [draft for draft, (owner, _) in self._owners.items() if owner is running]

    def _draft(self, running: RunningJob, beam: Beam, request: Expand, seed: int) -> Draft:
        is_kept = any(kept.node == beam.node for kept in request.keep)
        if beam.node == running.job.prompt.id:
            is_kept = is_kept or running.job.planner is not None
        return Draft(
            beam=beam,
            sampling=running.sampling(request.temperature),
            seed=seed,
            max_tokens=running.max_tokens - beam.num_tokens,
            is_to_end=request.is_to_end,
            num_steps=request.num_steps,
            is_last_use=not is_kept,
            forcing=request.forcing,
            has_certainty=self._judging.reads_certainty(running.job.strategy),
            priority=running.job.deadline.at,
        )

    # -- passes ----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """One pass of the engine for all jobs."""
        num_sequences, start = len(self._owners), self._clock()
        done = self._engine.advance(self._next_deadline())
        self._passes_s.append(self._clock() - start)
        if self._meter is not None:
            self._meter.observe(num_sequences, self._passes_s[-1])
        for running in self._jobs.values():
            if running.num_under_way or running.lane is not None:
                running.num_passes += 1
        for drafted in done:
            self._take(drafted)
        for running in self._jobs.values():
            self._count_votes(running)

    def _take(self, drafted: Drafted) -> None:
        """Books a draft that came back and puts its beam where it belongs."""
        running, wave = self._owners.pop(drafted.draft.id)
        beam = self._proven(running, rebased(drafted.beam, running.job.prompt))
        running.drawn_s.setdefault(beam.node, running.job.deadline.elapsed())  # known where nothing was drawn
        self._book(running, drafted)
        running.trace_steps(LANE if wave is None else wave.number, drafted.draft.beam, beam)
        if wave is None:
            self._take_lane(running, beam)
            return
        if wave.is_over or running.is_closing:
            self._set_aside(running, beam)
            wave.nodes.add(beam.node)
            return
        if beam.steps and beam.is_alive and (not drafted.steps or running.is_forced):
            beam = truncated(beam)
        place = wave.slots.pop(drafted.draft.id)
        if not beam.steps:  # no room for even one token of it
            self._set_aside(running, beam)
        elif beam.is_alive:
            wave.nodes.add(beam.node)
            wave.seeds[beam.node] = drafted.draft.seed
            wave.replies[place] = beam
        else:
            wave.replies[place] = self._ended(running, wave, beam)

    def _take_lane(self, running: RunningJob, beam: Beam) -> None:
        """Keeps the safety lane's solution as a fallback; if it is proven right, or tested, as any candidate."""
        if beam.proof:
            running.finish(beam)
        elif running.job.is_tested and beam.finish == "deadline":
            running.partial.append(beam)
        elif running.job.is_tested and beam.steps:
            self._finish(running, None, beam)
        elif running.lane is not None and beam.finish != "deadline" and beam.steps:
            running.fallback = beam
        running.lane = None

    def _proven(self, running: RunningJob, beam: Beam) -> Beam:
        """The beam with what the exact check says of its answer, if it is finished and states one."""
        if self._check is None or beam.finish != "stop" or beam.prompt.code is not None:
            return beam
        stated = running.answer(beam)
        if stated is None:
            return beam
        return dataclasses.replace(beam, proof=prove(self._check, beam.prompt.user, stated))

    def _ended(self, running: RunningJob, wave: RunningWave, beam: Beam) -> Beam:
        """A beam left the frontier: it is a candidate from now on, if it is no mere rollout."""
        if beam.prompt.asks_tests or (wave.is_rollout and not beam.proof):
            self._set_aside(running, beam)
            return beam
        self._finish(running, wave, beam)
        self._count(running, beam)
        if running.lane is not None and beam.proof is not False and running.answer(beam) is not None:
            lane, running.lane = running.lane, None
            for drafted in self._engine.cancel([lane.id]):
                self._owners.pop(lane.id, None)
                self._book(running, drafted)
        return beam

    def _set_aside(self, running: RunningJob, beam: Beam) -> None:
        """Keeps what is no candidate: as one for want of others, but tests only for the verifier to judge by."""
        if not beam.prompt.asks_tests:
            running.partial.append(beam)
        elif running.is_scored and beam.steps:
            running.unjudged.setdefault(self._judging.key(beam), beam)

    def _finish(self, running: RunningJob, wave: RunningWave | None, beam: Beam) -> None:
        """Books a candidate, and that it waits for its score if it is to have one."""
        running.finish(beam)
        if running.is_scored and beam.steps and not self._judging.scored(running, wave, beam).is_judged:
            running.unjudged.setdefault(self._judging.key(beam), beam)

    def _count(self, running: RunningJob, beam: Beam) -> None:
        """Takes a finished beam into a planned job's vote, once it has its scores or needs none."""
        if running.job.planner is None:
            return
        scored = self._judging.scored(running, None, beam)
        if scored.is_judged or not running.is_scored or beam.proof is not None or running.is_closing:
            running.count(beam, scored)
        else:
            running.uncounted.setdefault(self._judging.key(beam), []).append(beam)

    def _book(self, running: RunningJob, drafted: Drafted) -> None:
        info, usage = self._engine.info, running.usage
        drawn = drafted.num_drawn
        prompt_tokens = usage.prompt_tokens or drafted.prompt_tokens or 0
        beam = drafted.draft.beam
        context = (running.prompt_lengths.get(beam.prompt.id) or prompt_tokens) + beam.num_tokens
        flops = 2.0 * info.num_params * (drawn + drafted.prefilled_tokens)
        read = drawn * (context + drawn / 2) + drafted.prefilled_tokens**2 / 2
        running.usage = dataclasses.replace(
            usage,
            prompt_tokens=prompt_tokens,
            prefilled_tokens=usage.prefilled_tokens + drafted.prefilled_tokens,
            reused_tokens=usage.reused_tokens + drafted.reused_tokens,
            decoded_tokens=usage.decoded_tokens + drawn,
            solver_flops=usage.solver_flops + flops + read * info.attention_flops_per_token_context,
            kv_cells=max(usage.kv_cells, self._engine.kv_cells_peak),
        )

    # -- planning --------------------------------------------------------------------------------------------------

    def _ask_planner(self, running: RunningJob) -> None:
        """Starts another wave, or stops, if the planner says so."""
        planner, count = running.job.planner, len(running.candidates)
        if planner is None or running.early_stop is not None or self._must_end(running):
            return
        if count == running.num_asked and running.waves and not planner.is_due(running.num_living):
            return
        running.num_asked = count
        decision = planner.decide(self._situation(running))
        if isinstance(decision, Wave):
            self._start_wave(running, decision, running.num_waves)
        elif decision is not None:
            running.early_stop = decision
            for wave in running.waves:
                wave.search.close()
                wave.end()

    def _situation(self, running: RunningJob) -> Situation:
        return Situation(
            left_s=running.left_s,
            standing=running.tally.standing(),
            num_living=running.num_living,
            num_waves=len(running.waves),
            num_finished=len(running.finished),
            finished_tokens=running.finished_tokens,
            prompt_tokens=running.usage.prompt_tokens,
            num_elsewhere=self.num_living - running.num_living,
            room=self._room(running),
        )

    def _room(self, running: RunningJob) -> int | None:
        """Beams more that it may begin: at least one, and as many as leave each of the others its share."""
        if self.kept_places is None:
            return None
        fair = (self.num_places - self.kept_places) // (len(self._jobs) + self.num_waiting)
        others = [other for other in self._jobs.values() if other is not running]
        taken = [max(other.num_places, fair if other.may_widen else 0) for other in others]
        kept = max(self.kept_places, fair * self.num_waiting)
        room = self.num_places - sum(taken) - kept - running.num_places
        return max(room, 1 - running.num_living)

    def _force_answers(self, running: RunningJob) -> None:
        """Makes what is under way state its answer, once there is just time for that and none is in hand.

        Also at once where it waits for scores that will not come in time: it would go no further.
        """
        closing, deadline = running.job.closing, running.job.deadline
        if closing is None or not self._engine.info.can_hurry or running.is_over or self._must_end(running):
            return
        is_early = running.left_s > min(closing.seconds, _MAX_CLOSING_SHARE * (deadline.at - deadline.started))
        if (is_early and not self._judging.cannot_judge(running)) or running.has_answer:
            return
        running.is_forced = True
        for wave in running.waves:
            self._draw_idle(running, wave)
        self._engine.hurry(self._drafts(running), closing.text, closing.max_tokens)

    def _draw_idle(self, running: RunningJob, wave: RunningWave) -> None:
        """Starts drafts of a wave's beams that are between two steps; its strategy goes no further."""
        wave.search.close()
        idle = {beam.node: beam for beam in (*wave.grown, *running.waiting(wave)) if beam.is_alive}
        for beam in idle.values():
            if beam.num_tokens < running.max_tokens and beam.node in wave.nodes:
                draft = self._start(running, wave, beam, Expand([beam], is_to_end=True))
                wave.slots[draft.id] = len(wave.replies)
                wave.replies.append(None)
        wave.request = None  # what waited for a score gets it with the answer

    # -- the end ---------------------------------------------------------------------------------------------------

    def _look_at_scores(self) -> None:
        """Notes which jobs have a solution that needs no better."""
        enough = self._verifier.info.enough if self._verifier is not None else None
        if enough is not None:
            for running in self._jobs.values():
                running.look_at_scores(enough)

    def _count_votes(self, running: RunningJob) -> None:
        """Ends a search whose vote the samples still under way cannot change, if that was asked for."""
        job, under_way = running.job, running.num_under_way
        if job.early_stop is None or not job.strategy.can_stop_early or running.is_over or not under_way:
            return
        if running.is_proven or running.num_counted == len(running.finished):
            return
        running.num_counted = len(running.finished)
        candidates = [self._candidate(running, beam) for beam in running.finished]
        running.early_stop = verdict(candidates, under_way, job.selection, job.early_stop)
        if running.early_stop is not None:
            for wave in running.waves:
                wave.is_over = True

    def _must_end(self, running: RunningJob) -> bool:
        """Whether no time is left but for scoring what is finished; beside other jobs, none for a pass.

        A pass that ends too late for one job would be interrupted, and be lost to the others.
        """
        least_s = min(self._passes_s, default=0.0) if len(self._jobs) > 1 else 0.0
        return running.left_s <= least_s

    def _is_decided(self, running: RunningJob) -> bool:
        """Whether nothing more is to be drawn for it: it must end, or has a solution that needs no better."""
        return self._must_end(running) or running.ends_well is not None

    def _keep_back(self) -> None:
        """Sets what each job keeps back before its deadline, the last one first: each leaves the next its time."""
        stop = float("inf")
        for running in sorted(self._jobs.values(), key=lambda each: each.job.deadline.at, reverse=True):
            deadline, own_s = running.job.deadline, self._own_reserve_s(running)
            stop = min(deadline.at - own_s, stop - own_s + final_s(deadline) - _CLOSE_S)
            running.reserve_s = deadline.at - stop

    def _own_reserve_s(self, running: RunningJob) -> float:
        """Seconds for its own end, in steps of at most 10 ms so that it seldom changes."""
        deadline = running.job.deadline
        budget_s = deadline.at - deadline.started
        closing_s = final_s(deadline) + _CANDIDATE_S * len(running.finished)
        num_tokens = sum(beam.num_unjudged_tokens for beam in running.unjudged.values())
        if running.job.is_tested:  # a program is often whole before the text around it is
            num_tokens += round(min(running.num_under_way, _MAX_CUT_OFF) * running.expected_tokens)
        if not num_tokens:
            return closing_s
        seconds = self._judging.seconds(num_tokens)
        step_s = min(0.01, 0.02 * budget_s)
        return closing_s + min(step_s * round(seconds / step_s + 0.5), 0.2 * budget_s)

    def _next_deadline(self) -> Deadline:
        """The moment at which the first of the jobs must be told to stop."""
        deadlines = [running.job.deadline.earlier(running.reserve_s) for running in self._jobs.values()]
        return min(deadlines, key=lambda deadline: deadline.remaining())

    def _collect_ended(self) -> list[tuple[int, JobResult]]:
        ended = [(number, running) for number, running in self._jobs.items() if self._has_ended(running)]
        ended.sort(key=lambda each: each[1].job.deadline.at)
        return [(number, self._close(number, running)) for number, running in ended]

    def _has_ended(self, running: RunningJob) -> bool:
        """Over, and no safety lane still looks for a first answer; or out of time; or nothing better can come."""
        if self._is_decided(running):
            return True
        if running.is_forced:
            return running.lane is None and not running.num_under_way
        return running.lane is None and (running.is_over or self._judging.cannot_judge(running))

    def _close(self, number: int, running: RunningJob) -> JobResult:
        is_cut = running.ends_well is None and (not running.is_over or running.lane is not None)
        for wave in running.waves:
            wave.search.close()
        running.is_closing = True
        for drafted in self._engine.cancel(self._drafts(running)):
            self._take(drafted)
        if running.job.is_tested and running.ends_well is None:
            self._finish_partial(running)
        if not running.is_proven and not running.has_passed:  # no score could change the choice then
            self._judging.judge_rest(running, self._jobs.values())
        for beam in [beam for waiting in running.uncounted.values() for beam in waiting]:
            running.count(beam, beam)
        self._release(running, running.nodes)
        del self._jobs[number]
        return self._result(running, is_cut)

    def _finish_partial(self, running: RunningJob) -> None:
        """Lets cut-off solutions that state a whole program compete like others."""
        for beam in sorted(running.partial, key=lambda each: each.num_tokens, reverse=True):
            if beam.steps and running.answer(beam) is not None:
                self._finish(running, None, beam)

    def _result(self, running: RunningJob, is_cut: bool) -> JobResult:
        job = running.job
        candidates = tuple(self._candidates(running))
        return JobResult(
            job=job,
            candidates=candidates,
            is_cut=is_cut,
            usage=dataclasses.replace(running.usage, decode_passes=running.num_passes),
            early_stop=running.ends_well or running.early_stop,
            num_tests=running.num_tests,
            warnings=tuple(running.warnings),
            waves=tuple(running.begun),
            standing=running.tally.standing() if job.planner is not None else None,
            events=tuple(running.events),
        )

    def _candidates(self, running: RunningJob) -> list[Candidate]:
        """Finished solutions; where none has an answer that may be right, the safety lane's and cut-off ones too."""
        counted = running.candidates
        candidates = [counted.get(beam.node) or self._candidate(running, beam) for beam in running.finished]
        if any(candidate.answer is not None and candidate.beam.proof is not False for candidate in candidates):
            return _weighed(running.job, candidates)
        if running.fallback is not None:
            candidates.append(self._candidate(running, running.fallback))
        grown = [beam for wave in running.waves for beam in (*wave.grown, *wave.frontier)]
        unfinished = {
            beam.node: beam for beam in (*running.partial, *grown) if beam.steps and not beam.prompt.asks_tests
        }
        return _weighed(running.job, candidates + [self._candidate(running, beam) for beam in unfinished.values()])

    def _candidate(self, running: RunningJob, beam: Beam) -> Candidate:
        return running.candidate(beam, self._judging.scored(running, None, beam))

    def _release(self, running: RunningJob, nodes: set[int]) -> None:
        """Frees what is kept under these nodes, of whatever wave."""
        for wave in running.waves:
            self._release_wave(wave, wave.nodes & nodes)
        nodes = nodes & running.prompts
        self._free(nodes)
        running.prompts -= nodes

    def _release_wave(self, wave: RunningWave, nodes: set[int]) -> None:
        self._free(nodes)
        wave.nodes = wave.nodes - nodes
        # A beam whose state is freed cannot stand in for a copy of it that is drawn later.
        wave.judged = {key: beam for key, beam in wave.judged.items() if beam.node in wave.nodes}

    def _free(self, nodes: Iterable[int]) -> None:
        self._engine.release(nodes)
        self._judging.release(nodes)


def _weighed(job: Job, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates with what their votes weigh, for strategies that say so."""
    if job.strategy.weigh is None or not candidates:
        return candidates
    weights = job.strategy.weigh(candidates, job.config, job.first.options)
    return [dataclasses.replace(each, weight=weight) for each, weight in zip(candidates, weights, strict=True)]

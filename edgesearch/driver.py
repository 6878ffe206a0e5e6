"""Runs searches: the only place where strategies, engine, verifier and clock meet.

Many searches run at once: every turn, all drafts of all searches share one pass of the engine, and all beams that
wait for a score share one call of the verifier. A search that reaches its deadline is closed and answers with the
candidates that it has; so is one that ends by itself. Nothing is done twice: a beam is judged once, and so are two
beams that were drawn with the same tokens. Where there is an exact check, each finished solution goes through it once,
before anything else reads it, and a search with an answer that is proven right is closed at once.

Not covered: choosing among candidates (choice.py), planning widths (planner).
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgesearch import answer
from edgesearch.budget import Deadline
from edgesearch.engines.base import Draft, Drafted, Engine
from edgesearch.engines.sampling import mix_seed
from edgesearch.errors import ContextOverflow, UsageError
from edgesearch.search.base import Expand, Judge, Request, Search, SearchConfig, Strategy
from edgesearch.search.early_stop import EarlyStop, Reason, verdict
from edgesearch.search.select import aggregate
from edgesearch.types import Beam, Candidate, Prompt, Sampling, Usage
from edgesearch.verifiers.base import Verifier
from edgesearch.verifiers.checks import Check, prove

_FINAL_S = 0.008
"""Kept back before a deadline for selecting and printing; less of a budget that is short itself."""
_FINAL_SHARE, _LEAST_FINAL_S = 0.2, 0.002
"""Of a short budget: the share that is kept back, and what selecting takes in any case."""
_JUDGE_TOKENS = 1024
"""Solution tokens judged in one call at most, so that the clock is looked at in between."""
_EAGER_BEAMS = 8
"""Finished samples that are judged together while others are still being drawn."""
_PESSIMISM = 1.25
"""How much longer than measured a verifier call is taken to last."""

_Key = tuple[tuple[int, ...] | str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One problem to search, with everything that fixes how."""

    prompt: Prompt
    strategy: Strategy
    config: SearchConfig
    sampling: Sampling
    deadline: Deadline
    max_tokens: int
    """Tokens a solution may have."""
    options: Any = None
    """The strategy's own settings; None for its defaults."""
    seed: int = 0
    early_stop: EarlyStop | None = None
    """When samples that are still being drawn are given up because the vote is decided; None for never."""
    has_safety_lane: bool = False
    """Whether a greedy draft runs beside the search until the search has an answer in hand that is not proven wrong."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a search left behind."""

    job: Job
    candidates: tuple[Candidate, ...]
    """Finished solutions in the order they ended.

    The safety lane's or cut-off ones only where no other has an answer, or only answers that are proven wrong.
    """
    is_cut: bool
    """Whether the deadline ended the search."""
    usage: Usage
    early_stop: Reason | None = None
    """Why the vote was decided before all samples were drawn; None where it was not."""
    warnings: tuple[str, ...] = ()
    """What the search could not do."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A look at a running search."""

    beams: tuple[tuple[Beam, float | None], ...]
    candidates: tuple[Candidate, ...]
    decoded_tokens: int


@dataclass(slots=True, eq=False)
class _Task:
    """A job under way."""

    job: Job
    search: Search
    max_tokens: int
    """Tokens a solution may have: the job's limit, or what the verifier can read."""
    request: Request | None = None
    replies: list[Beam | None] = field(default_factory=list)
    """To an Expand, filled as drafts come back."""
    slots: dict[int, int] = field(default_factory=dict)
    """Draft id to its place in `replies`."""
    finished: list[Beam] = field(default_factory=list)
    unjudged: dict[_Key, Beam] = field(default_factory=dict)
    """Finished beams that wait for a score."""
    judged: dict[_Key, Beam] = field(default_factory=dict)
    frontier: list[Beam] = field(default_factory=list)
    """Beams last seen alive."""
    partial: list[Beam] = field(default_factory=list)
    """Beams that were cut off."""
    lane: Draft | None = None
    """The safety lane's draft, until it is done or not needed any more."""
    lane_id: int = -1
    fallback: Beam | None = None
    """The safety lane's finished solution."""
    nodes: set[int] = field(default_factory=set)
    seeds: dict[int, int] = field(default_factory=dict)
    """The random stream of each beam that can grow, by its node, until a child goes on with it."""
    prompt_lengths: dict[int, int] = field(default_factory=dict)
    """Tokens of each prompt that was opened, by its id."""
    answers: dict[int, str | None] = field(default_factory=dict)
    """What finished beams state, by their node."""
    drawn_s: dict[int, float] = field(default_factory=dict)
    """When the last token of each beam was drawn, by its node: seconds on the deadline's clock."""
    num_drafts: int = 0
    samplings: dict[float, Sampling] = field(default_factory=dict)
    """The job's settings at other temperatures."""
    is_rollout: bool = False
    """Whether what the current request draws is no candidate."""
    is_over: bool = False
    """Whether the strategy has ended."""
    is_closing: bool = False
    num_counted: int = 0
    """Finished beams when their votes were last counted."""
    early_stop: Reason | None = None
    warnings: dict[str, None] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


class Driver:
    """Runs jobs to their end; used from one thread."""

    def __init__(self, engine: Engine, verifier: Verifier | None, check: Check | None = None) -> None:
        """Makes one; `check` must fit the problems that will be submitted."""
        self._engine = engine
        self._verifier = verifier
        self._check = check
        self._tasks: dict[int, _Task] = {}
        self._task_of_draft: dict[int, _Task] = {}
        self._task_ids = itertools.count()

    def submit(self, job: Job) -> int:
        """Accepts a job and returns its number.

        Raises:
            UsageError: its strategy needs a verifier and there is none, or none that scores steps.
            ValueError: n, m and the strategy's options do not go together.
            ContextOverflow: its prompt does not fit.
        """
        self._check_verifier(job.strategy)
        root = Beam(job.prompt)
        options = job.strategy.options() if job.options is None else job.options
        job.strategy.check(job.config, options)
        task = _Task(job, job.strategy.run(root, job.config, options), max_tokens=job.max_tokens)
        token_ids = self._engine.open(job.prompt)
        try:
            self._begin(task, root, token_ids)
        except BaseException:
            self._release(task, {job.prompt.id})
            raise
        number = next(self._task_ids)
        self._tasks[number] = task
        return number

    def _check_verifier(self, strategy: Strategy) -> None:
        if not strategy.needs_scores:
            return
        if self._verifier is None:
            raise UsageError(f"strategy {strategy.name} needs a verifier; use --verifier, or --strategy majority")
        if strategy.is_stepwise and self._verifier.info.is_outcome:
            raise UsageError(
                f"strategy {strategy.name} needs step scores, and {self._verifier.info.name} scores whole solutions "
                "only; use --strategy best_of_n or weighted"
            )

    def _begin(self, task: _Task, root: Beam, token_ids: Sequence[int]) -> None:
        job = task.job
        task.prompt_lengths[job.prompt.id] = len(token_ids)
        task.max_tokens = min(task.max_tokens, self._verifier_room(job, len(token_ids)))
        task.nodes.add(job.prompt.id)
        task.usage = dataclasses.replace(task.usage, prompt_tokens=len(token_ids))
        if job.strategy.needs_scores and self._verifier is not None:
            self._open_verifier(task, token_ids)
        if job.has_safety_lane:
            self._start_lane(task, root)
        self._continue(task)

    def close(self) -> None:
        """Drops all jobs without their results; the engine and the verifier hold nothing of them afterwards.

        For a solve that was abandoned or failed: nothing is judged, and no state is relied on.
        """
        self._engine.clear()
        for task in self._tasks.values():
            task.search.close()
            if self._verifier is not None:
                self._verifier.release(task.nodes)
        self._tasks.clear()
        self._task_of_draft.clear()

    def turn(self) -> list[tuple[int, JobResult]]:
        """One round for all jobs: deadlines, scores, one pass of the engine. Returns the jobs that ended."""
        self._judge_waiting()
        for task in self._tasks.values():
            self._continue(task)
        if self._task_of_draft and not all(self._must_end(task) for task in self._tasks.values()):
            for drafted in self._engine.advance(self._next_deadline()):
                self._take(drafted)
            for task in self._tasks.values():
                self._count_votes(task)
        return self._collect_ended()

    def view(self, number: int) -> JobView:
        """How a running job stands."""
        task = self._tasks[number]
        beams = [(beam, self._score(task, beam)) for beam in {beam.node: beam for beam in task.frontier}.values()]
        beams.sort(key=lambda pair: -1.0 if pair[1] is None else pair[1], reverse=True)
        return JobView(tuple(beams), tuple(self._candidates(task)), task.usage.decoded_tokens)

    # -- requests --------------------------------------------------------------------------------------------------

    def _continue(self, task: _Task) -> None:
        """Answers fulfilled requests until the search waits for something or ends."""
        while not task.is_over:
            reply = self._reply(task)
            if reply is None and task.request is not None:
                return
            try:
                request = next(task.search) if reply is None else task.search.send(reply)
            except StopIteration:
                task.is_over = True
                task.frontier.clear()
                task.replies.clear()
                return
            task.request = request
            if isinstance(request, Expand):
                self._expand(task, request)

    def _reply(self, task: _Task) -> list[Beam] | None:
        """The reply to the current request once it is complete."""
        if isinstance(task.request, Expand):
            if task.slots:
                return None
            return [beam for beam in task.replies if beam is not None]
        if isinstance(task.request, Judge):
            beams = [self._scored(task, beam) for beam in task.request.beams]
            return beams if all(beam.is_judged for beam in beams) else None
        return None

    def _expand(self, task: _Task, request: Expand) -> None:
        unopened = self._open_prompts(task, request)
        wanted = {beam.node for beam in (*request.beams, *request.keep)}
        self._release(task, task.nodes - wanted - ({task.job.prompt.id} if task.lane else set()))
        task.replies = [None] * len(request.beams)
        task.frontier = list(request.beams)
        task.is_rollout = request.is_rollout
        for place, beam in enumerate(request.beams):
            if beam.prompt.id in unopened:
                continue
            if beam.num_tokens >= task.max_tokens:
                task.replies[place] = self._ended(task, _truncated(beam))
            else:
                draft = self._start(task, beam, request)
                task.slots[draft.id] = place

    def _open_prompts(self, task: _Task, request: Expand) -> set[int]:
        """Opens the prompts that a search made; returns those that do not fit, whose beams cannot be grown."""
        unopened: set[int] = set()
        prompts = {beam.prompt.id: beam.prompt for beam in request.beams if not beam.steps}
        for prompt in prompts.values():
            if prompt.id in task.nodes:
                continue
            try:
                task.prompt_lengths[prompt.id] = len(self._engine.open(prompt))
                task.nodes.add(prompt.id)
            except ContextOverflow as error:
                unopened.add(prompt.id)
                task.warnings.setdefault(f"a solution was not revised, since it did not fit: {error}")
        return unopened

    def _start_lane(self, task: _Task, root: Beam) -> None:
        task.lane = self._start(task, root, Expand([root], is_to_end=True, temperature=0.0), is_lane=True)
        task.lane_id = task.lane.id

    def _start(self, task: _Task, beam: Beam, request: Expand, *, is_lane: bool = False) -> Draft:
        ordinal = 0 if is_lane else task.num_drafts + 1
        # The first child goes on with its parent's stream, so that one beam grown step by step is one sample.
        inherited = None if request.is_rollout else task.seeds.pop(beam.node, None)
        draft = Draft(
            beam=beam,
            sampling=self._sampling(task, request),
            seed=mix_seed(task.job.seed, ordinal) if inherited is None else inherited,
            max_tokens=task.max_tokens - beam.num_tokens,
            is_to_end=request.is_to_end,
            num_steps=request.num_steps,
            is_last_use=not any(kept.node == beam.node for kept in request.keep),
            forcing=request.forcing,
            has_certainty=self._has_certainty(task.job.strategy),
        )
        task.num_drafts += not is_lane
        self._task_of_draft[draft.id] = task
        self._engine.start(draft)
        return draft

    def _sampling(self, task: _Task, request: Expand) -> Sampling:
        """The same object for the same settings: engines draw for drafts that share it together."""
        if request.temperature is None:
            return task.job.sampling
        if request.temperature not in task.samplings:
            task.samplings[request.temperature] = dataclasses.replace(
                task.job.sampling, temperature=request.temperature
            )
        return task.samplings[request.temperature]

    def _has_certainty(self, strategy: Strategy) -> bool:
        is_read = strategy.needs_scores and self._verifier is not None and self._verifier.info.needs_certainty
        return strategy.needs_certainty or is_read

    # -- results ---------------------------------------------------------------------------------------------------

    def _take(self, drafted: Drafted) -> None:
        """Books a draft that came back and puts its beam where it belongs."""
        task = self._task_of_draft.pop(drafted.draft.id)
        beam = self._proven(task, _rebased(drafted.beam, task.job.prompt))
        task.drawn_s.setdefault(beam.node, task.job.deadline.elapsed())  # known where nothing was drawn
        self._book(task, drafted)
        if drafted.draft.id == task.lane_id:
            self._take_lane(task, beam)
            return
        if task.is_over or task.is_closing:
            task.partial.append(beam)
            return
        if beam.steps and beam.is_alive and not drafted.steps:
            beam = _truncated(beam)
        place = task.slots.pop(drafted.draft.id)
        if not beam.steps:  # no room for even one token of it
            task.partial.append(beam)
        elif beam.is_alive:
            task.nodes.add(beam.node)
            task.seeds[beam.node] = drafted.draft.seed
            task.replies[place] = beam
        else:
            task.replies[place] = self._ended(task, beam)

    def _take_lane(self, task: _Task, beam: Beam) -> None:
        """Keeps the safety lane's solution as a fallback, or as a candidate like any other if it is proven right."""
        if beam.proof:
            task.finished.append(beam)
        elif task.lane is not None and beam.finish != "deadline" and beam.steps:
            task.fallback = beam
        task.lane = None

    def _proven(self, task: _Task, beam: Beam) -> Beam:
        """The beam with what the exact check says of its answer, if it is finished and states one."""
        if self._check is None or beam.finish != "stop":
            return beam
        stated = self._answer(task, beam)
        if stated is None:
            return beam
        return dataclasses.replace(beam, proof=prove(self._check, beam.prompt.user, stated))

    def _ended(self, task: _Task, beam: Beam) -> Beam:
        """A beam left the frontier: it is a candidate from now on, if it is no mere rollout."""
        if task.is_rollout and not beam.proof:
            task.partial.append(beam)
            return beam
        task.finished.append(beam)
        if task.job.strategy.needs_scores and beam.steps and not beam.is_judged:
            key = self._key(beam)
            if key not in task.judged:
                task.unjudged.setdefault(key, beam)
        if task.lane is not None and beam.proof is not False and self._answer(task, beam) is not None:
            lane, task.lane = task.lane, None
            for drafted in self._engine.cancel([lane.id]):
                self._task_of_draft.pop(lane.id, None)
                self._book(task, drafted)
        return beam

    def _book(self, task: _Task, drafted: Drafted) -> None:
        info, usage = self._engine.info, task.usage
        drawn = drafted.num_drawn
        prompt_tokens = usage.prompt_tokens or drafted.prompt_tokens or 0
        beam = drafted.draft.beam
        context = (task.prompt_lengths.get(beam.prompt.id) or prompt_tokens) + beam.num_tokens
        flops = 2.0 * info.num_params * (drawn + drafted.prefilled_tokens)
        read = drawn * (context + drawn / 2) + drafted.prefilled_tokens**2 / 2
        task.usage = dataclasses.replace(
            usage,
            prompt_tokens=prompt_tokens,
            prefilled_tokens=usage.prefilled_tokens + drafted.prefilled_tokens,
            reused_tokens=usage.reused_tokens + drafted.reused_tokens,
            decoded_tokens=usage.decoded_tokens + drawn,
            solver_flops=usage.solver_flops + flops + read * info.attention_flops_per_token_context,
            kv_cells=max(usage.kv_cells, self._engine.kv_cells_peak),
        )

    # -- scores ----------------------------------------------------------------------------------------------------

    def _open_verifier(self, task: _Task, token_ids: Sequence[int]) -> None:
        assert self._verifier is not None
        count = self._verifier.open(task.job.prompt, token_ids)
        info = self._verifier.info
        flops = 2.0 * info.num_params * count + info.attention_flops_per_token_context * count**2 / 2
        task.usage = dataclasses.replace(task.usage, verifier_prompt_tokens=count, verifier_flops=flops)

    def _verifier_room(self, job: Job, prompt_tokens: int) -> int:
        if self._verifier is None or not job.strategy.needs_scores:
            return job.max_tokens
        return max(1, (self._verifier.info.max_context or job.max_tokens + prompt_tokens) - prompt_tokens)

    def _judge_waiting(self) -> None:
        """Judges what searches wait for, and finished samples once there are enough of them to share a call."""
        blocked = {key: pair for task in self._tasks.values() for key, pair in self._blocked(task)}
        eager = {(id(task), key): (task, beam) for task in self._tasks.values() for key, beam in task.unjudged.items()}
        if not blocked and self._task_of_draft and len(eager) < _EAGER_BEAMS:
            return
        self._judge_in_time(list((blocked | eager).values()))

    def _blocked(self, task: _Task) -> Iterable[tuple[tuple[int, _Key], tuple[_Task, Beam]]]:
        if not isinstance(task.request, Judge) or task.is_over:
            return
        for beam in task.request.beams:
            key = self._key(beam)
            if not beam.is_judged and key not in task.judged:
                yield (id(task), key), (task, beam)

    def _judge_in_time(self, waiting: list[tuple[_Task, Beam]]) -> None:
        """Judges call by call, as long as the deadlines allow."""
        while waiting:
            batch, waiting = self._next_batch(waiting)
            if not batch:
                return
            self._judge(batch)

    def _next_batch(
        self, waiting: list[tuple[_Task, Beam]]
    ) -> tuple[list[tuple[_Task, Beam]], list[tuple[_Task, Beam]]]:
        """As many as fit one call and every deadline among them; beams that their deadline forbids are dropped."""
        assert self._verifier is not None
        pace = self._verifier.seconds_per_token * _PESSIMISM
        batch: list[tuple[_Task, Beam]] = []
        tokens, time_left = 0, float("inf")
        for index, (task, beam) in enumerate(waiting):
            new = _new_tokens(beam)
            left = min(time_left, task.job.deadline.remaining() - _final_s(task.job.deadline) / 2)
            if (tokens + new) * pace > left:
                continue
            if batch and pace and tokens + new > _JUDGE_TOKENS:  # what takes no time sees all beams together
                return batch, waiting[index:]
            batch.append((task, beam))
            tokens, time_left = tokens + new, left
        return batch, []

    def _judge(self, batch: Sequence[tuple[_Task, Beam]]) -> None:
        assert self._verifier is not None
        info = self._verifier.info
        for (task, beam), judged in zip(batch, self._verifier.judge([beam for _, beam in batch]), strict=True):
            key = self._key(beam)
            task.judged[key] = judged.beam
            task.unjudged.pop(key, None)
            count = judged.verified_tokens
            context = task.usage.prompt_tokens + beam.num_tokens - count / 2
            flops = count * (2.0 * info.num_params + info.attention_flops_per_token_context * context)
            task.usage = dataclasses.replace(
                task.usage,
                verified_tokens=task.usage.verified_tokens + count,
                verifier_flops=task.usage.verifier_flops + flops,
            )

    def _key(self, beam: Beam) -> _Key:
        """What was drawn, token by token: equal for beams that are copies of each other, and so have equal scores."""
        drawn = tuple(step.token_ids or step.text for step in beam.steps)
        is_each_counted = self._verifier is not None and self._verifier.info.counts_copies
        return (str(beam.node), *drawn) if is_each_counted else drawn

    def _scored(self, task: _Task, beam: Beam) -> Beam:
        """The beam with its scores where its tokens have been judged; copies of one text become one beam."""
        judged = None if beam.is_judged else task.judged.get(self._key(beam))
        if judged is None:
            return beam
        return judged if judged.finish == beam.finish else Beam(beam.prompt, beam.steps, judged.scores, beam.proof)

    def _score(self, task: _Task, beam: Beam) -> float | None:
        beam = self._scored(task, beam)
        return aggregate(beam.scores, task.job.config.aggregator) if beam.is_judged and beam.scores else None

    def _answer(self, task: _Task, beam: Beam) -> str | None:
        """What a beam states; read once."""
        if beam.node not in task.answers:
            task.answers[beam.node] = answer.extract(beam.text)
        return task.answers[beam.node]

    # -- the end ---------------------------------------------------------------------------------------------------

    def _count_votes(self, task: _Task) -> None:
        """Ends a search whose vote the samples still under way cannot change, if that was asked for."""
        job = task.job
        if job.early_stop is None or not job.strategy.can_stop_early or task.is_over or not task.slots:
            return
        if _is_proven(task) or task.num_counted == len(task.finished):
            return
        task.num_counted = len(task.finished)
        candidates = [self._candidate(task, beam) for beam in task.finished]
        task.early_stop = verdict(candidates, len(task.slots), job.strategy.selection, job.early_stop)
        task.is_over = task.early_stop is not None

    def _must_end(self, task: _Task) -> bool:
        """Whether no time is left but for scoring what is finished."""
        return task.job.deadline.remaining() <= self._reserve_s(task)

    def _reserve_s(self, task: _Task) -> float:
        """Seconds to keep back before a deadline, in steps of 10 ms so that it seldom changes."""
        if self._verifier is None or not task.unjudged:
            return _final_s(task.job.deadline)
        tokens = sum(_new_tokens(beam) for beam in task.unjudged.values())
        seconds = tokens * self._verifier.seconds_per_token * _PESSIMISM
        return _final_s(task.job.deadline) + min(
            0.01 * round(seconds / 0.01 + 0.5), 0.2 * (task.job.deadline.at - task.job.deadline.started)
        )

    def _next_deadline(self) -> Deadline:
        """The moment at which the first of the jobs must be told to stop."""
        deadlines = [task.job.deadline.earlier(self._reserve_s(task)) for task in self._tasks.values()]
        return min(deadlines, key=lambda deadline: deadline.remaining())

    def _collect_ended(self) -> list[tuple[int, JobResult]]:
        ended = [(n, task) for n, task in self._tasks.items() if self._has_ended(task)]
        return [(number, self._close(number, task)) for number, task in ended]

    def _has_ended(self, task: _Task) -> bool:
        """Over, and no safety lane still looks for a first answer; or out of time; or nothing better can come."""
        if self._must_end(task) or _ends_by_proof(task):
            return True
        return task.lane is None and (task.is_over or self._cannot_judge(task))

    def _cannot_judge(self, task: _Task) -> bool:
        """Whether the search waits for scores that the time left does not allow: waiting on is of no use."""
        waiting = [beam for _, (_, beam) in self._blocked(task)]
        if not waiting or self._verifier is None:
            return False
        least = min(_new_tokens(beam) for beam in waiting) * self._verifier.seconds_per_token * _PESSIMISM
        return least > task.job.deadline.remaining() - _final_s(task.job.deadline) / 2

    def _close(self, number: int, task: _Task) -> JobResult:
        is_cut = not _ends_by_proof(task) and (not task.is_over or task.lane is not None)
        task.search.close()
        task.is_closing = True
        drafts = [draft for draft, owner in self._task_of_draft.items() if owner is task]
        for drafted in self._engine.cancel(drafts):
            self._take(drafted)
        if not _is_proven(task):  # no score could change the choice then
            self._judge_in_time([(task, beam) for beam in task.unjudged.values()])
        self._release(task, set(task.nodes))
        del self._tasks[number]
        candidates = tuple(self._candidates(task))
        return JobResult(task.job, candidates, is_cut, task.usage, task.early_stop, tuple(task.warnings))

    def _candidates(self, task: _Task) -> list[Candidate]:
        """Finished solutions; where none has an answer that may be right, the safety lane's and cut-off ones too."""
        candidates = [self._candidate(task, beam) for beam in task.finished]
        if any(candidate.answer is not None and candidate.beam.proof is not False for candidate in candidates):
            return _weighed(task.job, candidates)
        if task.fallback is not None:
            candidates.append(self._candidate(task, task.fallback))
        grown = [beam for beam in task.replies if beam is not None and beam.is_alive]
        unfinished = {beam.node: beam for beam in (*task.partial, *grown, *task.frontier) if beam.steps}
        return _weighed(task.job, candidates + [self._candidate(task, beam) for beam in unfinished.values()])

    def _candidate(self, task: _Task, beam: Beam) -> Candidate:
        drawn_s = task.drawn_s.get(beam.node)  # its own, before a copy with scores may stand in for it
        beam = self._scored(task, beam)
        return Candidate(beam, self._answer(task, beam), self._score(task, beam), drawn_s)

    def _release(self, task: _Task, nodes: set[int]) -> None:
        self._engine.release(nodes)
        if self._verifier is not None:
            self._verifier.release(nodes)
        task.nodes -= nodes
        # A beam whose state is freed cannot stand in for a copy of it that is drawn later.
        task.judged = {key: beam for key, beam in task.judged.items() if not beam.is_alive or beam.node in task.nodes}


def _weighed(job: Job, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates with what their votes weigh, for strategies that say so."""
    if job.strategy.weigh is None or not candidates:
        return candidates
    weights = job.strategy.weigh(candidates, job.config, job.options or job.strategy.options())
    return [dataclasses.replace(each, weight=weight) for each, weight in zip(candidates, weights, strict=True)]


def _is_proven(task: _Task) -> bool:
    return any(beam.proof for beam in task.finished)


def _ends_by_proof(task: _Task) -> bool:
    """Whether an answer is proven right and no other is wanted."""
    return not task.job.strategy.keeps_all and _is_proven(task)


def _new_tokens(beam: Beam) -> int:
    return sum(len(step.token_ids) for step in beam.steps[len(beam.scores) :])


def _final_s(deadline: Deadline) -> float:
    """Seconds kept back before a deadline for selecting and printing."""
    return min(_FINAL_S, max(_LEAST_FINAL_S, _FINAL_SHARE * (deadline.at - deadline.started)))


def _rebased(beam: Beam, root: Prompt) -> Beam:
    """A finished beam of another prompt (a revision) as one of the problem's own, so that it can be compared."""
    return beam if beam.is_alive or beam.prompt.id == root.id else Beam(root, beam.steps)


def _truncated(beam: Beam) -> Beam:
    """A beam whose token limit fell on a step's end: cut off, not alive. Nothing was drawn, so its node is the same."""
    cut = dataclasses.replace(beam.steps[-1], finish="length")
    return Beam(beam.prompt, (*beam.steps[:-1], cut), beam.scores)

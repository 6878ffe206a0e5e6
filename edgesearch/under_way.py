"""A job under way: what a driver keeps of it, and what can be told from that alone.

`RunningWave` is one search: its generator, what it asked for and what it got. `RunningJob` is the problem: the finished
solutions of all its waves, their scores and votes. Only the driver changes them; they do no work of their own.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from edgesearch import answer
from edgesearch.budget import Deadline
from edgesearch.engines.base import Draft
from edgesearch.engines.sampling import mix_seed
from edgesearch.events import Event, Grew, Scored, WaveStarted
from edgesearch.jobs import LANE, Job, Wave
from edgesearch.planner.standing import Tally
from edgesearch.search.base import Expand, Judge, Request, Search, one_round
from edgesearch.search.select import aggregate
from edgesearch.types import Beam, Candidate, Prompt, Sampling, StopReason, Usage, WaveUsed

_FINAL_S = 0.008
"""Kept back before a deadline for selecting and printing; less of a budget that is short itself."""
_FINAL_SHARE, _LEAST_FINAL_S = 0.1, 0.002
"""Of a short budget: the share that is kept back, and what selecting takes in any case."""

Key = tuple[tuple[int, ...] | str, ...]
"""What was drawn, token by token."""


@dataclass(slots=True, eq=False)
class RunningWave:
    """A search under way."""

    number: int
    wave: Wave
    search: Search
    seed: int
    request: Request | None = None
    replies: list[Beam | None] = field(default_factory=list)
    """To an Expand, filled as drafts come back."""
    slots: dict[int, int] = field(default_factory=dict)
    """Draft id to its place in `replies`."""
    frontier: list[Beam] = field(default_factory=list)
    """Beams last seen alive."""
    nodes: set[int] = field(default_factory=set)
    """What is kept for it, the problem's own prompt apart."""
    judged: dict[Key, Beam] = field(default_factory=dict)
    """Its living beams with their scores."""
    seeds: dict[int, int] = field(default_factory=dict)
    """The random stream of each beam that can grow, by its node, until a child goes on with it."""
    num_drafts: int = 0
    is_rollout: bool = False
    """Whether what the current request draws is no candidate."""
    is_over: bool = False
    """Whether the strategy has ended."""

    def next_seed(self) -> int:
        """Of a new draft."""
        self.num_drafts += self.number != LANE  # the safety lane's is 0
        return mix_seed(self.seed, self.num_drafts)

    def end(self) -> None:
        """Books that the strategy has ended."""
        self.is_over = True
        self.frontier.clear()
        self.replies.clear()

    @property
    def num_living(self) -> int:
        """Beams that still grow: those being drawn, and those that wait for them, or for scores."""
        is_sampling = isinstance(self.request, Expand) and self.request.is_to_end
        return len(self.slots) if is_sampling else len(self.frontier)

    @property
    def num_places(self) -> int:
        """Beams that it may have until it ends: the living ones where they only become fewer, else its full width."""
        strategy = self.wave.strategy
        if self.is_over or self.number == LANE:
            return 0
        is_shrinking = strategy.can_narrow or (strategy.rounds is one_round and not strategy.is_stepwise)
        return self.num_living if is_shrinking else max(self.num_living, self.wave.config.n)

    @property
    def grown(self) -> Iterator[Beam]:
        """Living beams that came back and wait for the rest of their request."""
        return (beam for beam in self.replies if beam is not None and beam.is_alive)


@dataclass(slots=True, eq=False)
class RunningJob:
    """A job under way."""

    job: Job
    max_tokens: int
    """Tokens a solution may have: the job's limit, or what the verifier can read."""
    waves: list[RunningWave] = field(default_factory=list)
    """Those that have not ended, and the first."""
    num_waves: int = 0
    begun: list[WaveUsed] = field(default_factory=list)
    """Every wave after the first, as it began."""
    finished: list[Beam] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    """Their nodes."""
    unjudged: dict[Key, Beam] = field(default_factory=dict)
    """Finished beams that wait for a score."""
    judged: dict[Key, Beam] = field(default_factory=dict)
    """Finished beams with their scores."""
    candidates: dict[int, Candidate] = field(default_factory=dict)
    """Of a planned job: finished beams that are counted, by their node."""
    uncounted: dict[Key, list[Beam]] = field(default_factory=dict)
    """Of a planned job: finished beams that are counted once they have their scores, copies together."""
    tally: Tally = field(default_factory=Tally)
    partial: list[Beam] = field(default_factory=list)
    """Beams that were cut off."""
    lane: Draft | None = None
    """The safety lane's draft, until it is done or not needed any more."""
    lane_id: int = -1
    fallback: Beam | None = None
    """The safety lane's finished solution."""
    prompts: set[int] = field(default_factory=set)
    """Nodes of the prompts that are kept."""
    prompt_lengths: dict[int, int] = field(default_factory=dict)
    """Tokens of each prompt that was opened, by its id."""
    answers: dict[int, str | None] = field(default_factory=dict)
    """What finished beams state, by their node."""
    drawn_s: dict[int, float] = field(default_factory=dict)
    """When the last token of each beam was drawn, by its node: seconds on the deadline's clock."""
    samplings: dict[float, Sampling] = field(default_factory=dict)
    """The job's settings at other temperatures."""
    is_closing: bool = False
    is_forced: bool = False
    """Whether what is under way has been told to state its answer."""
    num_counted: int = 0
    """Candidates when the vote was last looked at."""
    num_asked: int = -1
    """Candidates when the planner was last asked."""
    finished_tokens: int = 0
    is_proven: bool = False
    """Whether the answer of a finished solution is proven right."""
    has_passed: bool = False
    """Whether a finished solution has a score that needs no better."""
    num_tests: int = 0
    """Visible tests that its programs are tried on."""
    num_looked_at: int = 0
    """Scores of finished solutions when that was last asked."""
    num_passes: int = 0
    """Of the engine, while it had drafts under way."""
    reserve_s: float = 0.0
    """Kept back before its deadline: for scoring and choosing, and so that jobs that end right after it end in time."""
    early_stop: StopReason | None = None
    warnings: dict[str, None] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    events: list[Event] = field(default_factory=list)

    # -- how it stands ---------------------------------------------------------------------------------------------

    @property
    def left_s(self) -> float:
        """Seconds that may still be spent on drawing."""
        return self.job.deadline.remaining() - self.reserve_s

    @property
    def is_over(self) -> bool:
        """Whether no search of it goes on, and none will follow."""
        is_decided = self.job.planner is None or self.early_stop is not None
        return is_decided and all(running.is_over for running in self.waves)

    @property
    def num_under_way(self) -> int:
        """Drafts that are being drawn, or wait to be."""
        return sum(len(running.slots) for running in self.waves)

    @property
    def num_living(self) -> int:
        """Beams of all its waves that still grow."""
        return sum(running.num_living for running in self.waves)

    @property
    def num_places(self) -> int:
        """Its share of the engine: a place for each beam, and one for its prompt and its safety lane."""
        return 1 + sum(running.num_places for running in self.waves)

    @property
    def may_widen(self) -> bool:
        """Whether more searches may follow."""
        return self.job.planner is not None and self.early_stop is None

    @property
    def nodes(self) -> set[int]:
        """Everything that is kept for it."""
        return self.prompts.union(*(running.nodes for running in self.waves))

    @property
    def is_scored(self) -> bool:
        """Whether its finished solutions get scores."""
        return self.job.strategy.needs_scores or self.job.is_tested

    @property
    def has_answer(self) -> bool:
        """Whether a finished solution states an answer that is not proven wrong."""
        if self.job.planner is not None and self.tally.standing().answer is not None:
            return True
        rest = self.finished if self.job.planner is None else itertools.chain(*self.uncounted.values())
        rest = [*rest, self.fallback] if self.fallback is not None else rest
        return any(beam.proof is not False and self.answer(beam) is not None for beam in rest)

    @property
    def ends_well(self) -> StopReason | None:
        """Why no other solution is wanted than one in hand; None where one is."""
        if self.job.strategy.keeps_all:
            return None
        return "proof" if self.is_proven else "passed" if self.has_passed else None

    def look_at_scores(self, enough: float) -> None:
        """Notes whether one of the scores that came in needs no better."""
        new = itertools.islice(self.judged.values(), self.num_looked_at, None)
        self.has_passed = self.has_passed or any((self.score(beam) or 0.0) >= enough for beam in new)
        self.num_looked_at = len(self.judged)

    def answer(self, beam: Beam) -> str | None:
        """What a beam states; read once."""
        if beam.node not in self.answers:
            self.answers[beam.node] = answer.stated(beam.prompt, beam.text)
        return self.answers[beam.node]

    def waiting(self, running: RunningWave) -> list[Beam]:
        """Beams whose scores a wave waits for."""
        if not isinstance(running.request, Judge) or running.is_over:
            return []
        return list(running.request.beams)

    @property
    def expected_tokens(self) -> float:
        """Of one solution that is under way: as many as those that are finished have."""
        mean = self.finished_tokens / len(self.finished) if self.finished else self.num_passes
        return min(mean, self.max_tokens)

    # -- candidates ------------------------------------------------------------------------------------------------

    def finish(self, beam: Beam) -> None:
        """Takes a beam that left the frontier; one that was to have several children leaves it once."""
        if beam.node in self.ended:
            return
        self.ended.add(beam.node)
        self.finished.append(beam)
        self.finished_tokens += beam.num_tokens
        self.is_proven = self.is_proven or bool(beam.proof)

    def count(self, beam: Beam, scored: Beam) -> None:
        """Takes a finished beam into the vote, with the scores that it has."""
        if beam.node not in self.candidates:
            self.candidates[beam.node] = candidate = self.candidate(beam, scored)
            self.tally.add(candidate)

    def candidate(self, beam: Beam, scored: Beam) -> Candidate:
        """A beam with its scores; `scored` is the beam itself, or a copy of it that was judged."""
        return Candidate(scored, self.answer(beam), self.score(scored), self.drawn_s.get(beam.node))

    def score(self, beam: Beam) -> float | None:
        """Its aggregated score; None where it has none."""
        return aggregate(beam.scores, self.job.config.aggregator) if beam.is_judged and beam.scores else None

    def sampling(self, temperature: float | None) -> Sampling:
        """The same object for the same settings: engines draw for drafts that share it together."""
        if temperature is None:
            return self.job.sampling
        if temperature not in self.samplings:
            self.samplings[temperature] = dataclasses.replace(self.job.sampling, temperature=temperature)
        return self.samplings[temperature]

    # -- what is told of it ----------------------------------------------------------------------------------------

    def trace_wave(self, number: int, wave: Wave) -> None:
        """Tells that a wave began, if the job is traced."""
        if self.job.is_traced:
            begun = wave.begun(self.job.deadline.elapsed())
            self.events.append(WaveStarted(number, self.job.prompt.id, begun))

    def trace_steps(self, number: int, before: Beam, beam: Beam) -> None:
        """Tells of the steps by which a beam grew; a blank ending that was folded replaces the step before it."""
        if not self.job.is_traced:
            return
        at_s, steps = self.job.deadline.elapsed(), beam.steps
        first = next((i for i, old in enumerate(before.steps) if steps[i].id != old.id), len(before.steps))
        parent = steps[first - 1].id if first else before.prompt.id
        for step in steps[first:]:
            proof = beam.proof if step is steps[-1] else None
            grew = Grew(number, step.id, parent, step.text, len(step.token_ids), step.logprob, step.finish, proof, at_s)
            self.events.append(grew)
            parent = step.id

    def trace_scores(self, beam: Beam, judged: Beam) -> None:
        """Tells of the scores that a beam got, if the job is traced."""
        if not self.job.is_traced:
            return
        at_s = self.job.deadline.elapsed()
        for step, score in zip(judged.steps[len(beam.scores) :], judged.scores[len(beam.scores) :], strict=True):
            self.events.append(Scored(step.id, score, at_s))


def final_s(deadline: Deadline) -> float:
    """Seconds kept back before a deadline for selecting and printing."""
    return min(_FINAL_S, max(_LEAST_FINAL_S, _FINAL_SHARE * (deadline.at - deadline.started)))


def rebased(beam: Beam, root: Prompt) -> Beam:
    """A finished beam of another prompt (a revision) as one of the problem's own, so that it can be compared."""
    is_other = beam.prompt.id != root.id and not beam.prompt.asks_tests
    return Beam(root, beam.steps) if is_other and not beam.is_alive else beam


def truncated(beam: Beam) -> Beam:
    """A beam whose token limit fell on a step's end: cut off, not alive. Nothing was drawn, so its node is the same."""
    cut = dataclasses.replace(beam.steps[-1], finish="length")
    return Beam(beam.prompt, (*beam.steps[:-1], cut), beam.scores)

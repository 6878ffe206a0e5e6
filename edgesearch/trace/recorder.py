"""From the events of a solve to its trace.

While the solve runs, events are only kept; what is made of them is made at the end, so that recording takes no time
from the search. Where there are too many nodes, the latest are left out, but never those of the chosen solution.

Not covered: which events there are (events.py), files (file.py).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from edgesearch.events import Event, Grew, Progress, Scored, Solved, Started, WaveStarted
from edgesearch.trace.model import MAX_CHARS, MAX_NODES, MAX_S, Best, End, Node, Outcome, Trace, Wave
from edgesearch.types import Candidate, Finish, Solution


def record(events: Iterable[Event], *, max_nodes: int = MAX_NODES, max_chars: int = MAX_CHARS) -> Trace:
    """The trace of a whole solve; see `Recorder`."""
    recorder = Recorder(max_nodes=max_nodes, max_chars=max_chars)
    for event in events:
        recorder.add(event)
    return recorder.trace()


class Recorder:
    """Keeps the events of one solve (`Pipeline.events(..., is_traced=True)`) and makes its trace."""

    def __init__(self, *, max_nodes: int = MAX_NODES, max_chars: int = MAX_CHARS) -> None:
        """Makes an empty one.

        Args:
            max_nodes: nodes that the trace may hold, but for those of the chosen solution; in [0, MAX_NODES].
            max_chars: characters that they may have together.
        """
        if not 0 <= max_nodes <= MAX_NODES:
            raise ValueError(f"max_nodes must be in [0, {MAX_NODES}], not {max_nodes}")
        self._max_nodes, self._max_chars = max_nodes, max_chars
        self._started: Started | None = None
        self._solved: Solved | None = None
        self._waves: list[WaveStarted] = []
        self._grown: dict[int, Grew] = {}
        self._scored: dict[int, Scored] = {}
        self._best: list[Best] = []

    def add(self, event: Event) -> None:
        """Keeps an event."""
        match event:
            case Started():
                self._started = event
            case WaveStarted():
                self._waves.append(event)
            case Grew():
                self._grown.setdefault(event.node, event)
            case Scored():
                self._scored.setdefault(event.node, event)
            case Progress():
                self._look(event)
            case Solved():
                self._solved = event

    def _look(self, event: Progress) -> None:
        """Notes the best answer where it is another than before."""
        answer = event.best.answer if event.best is not None else None
        if self._started is None or event.best is None or answer is None:
            return
        if not self._best or self._best[-1].answer != answer:
            at_s = _time(self._started.budget_s - event.seconds_left)
            self._best.append(Best(at_s, answer, _share(event.best.score), event.num_candidates))

    def trace(self) -> Trace:
        """What was recorded.

        Raises:
            ValueError: the events did not begin with `Started` or did not end with `Solved`.
        """
        if self._started is None or self._solved is None:
            raise ValueError("events must be those of a whole solve, from Started to Solved")
        started, solution = self._started, self._solved.solution
        homes = _homes(self._grown, solution.candidates)
        chosen = _chosen(solution)
        path = _path(self._grown, homes[chosen] if chosen is not None else None)
        ids = _kept(self._grown, path, self._max_nodes, self._max_chars)
        numbers = {id_: number for number, id_ in enumerate(ids)}
        prompts = _prompts(self._waves, [self._grown[id_] for id_ in ids], numbers)
        return Trace(
            problem=started.problem,
            problem_id=solution.id,
            budget_s=started.budget_s,
            load_s=started.load_s,
            models=started.models,
            strategy=started.strategy,
            reason=started.reason,
            waves=tuple(_wave(each, prompts[each.root]) for each in self._waves),
            nodes=self._nodes(numbers, prompts),
            num_prompts=len(prompts),
            chosen=tuple(numbers[id_] for id_ in path),
            ends=tuple(_ends(solution.candidates, homes, numbers)),
            best=self._changes(solution),
            outcome=_outcome(solution),
            num_left_out=len(self._grown) - len(ids),
        )

    def _nodes(self, numbers: Mapping[int, int], prompts: Mapping[int, int]) -> tuple[Node, ...]:
        nodes: list[Node] = []
        for id_ in numbers:
            grown, scored = self._grown[id_], self._scored.get(id_)
            parent = numbers.get(grown.parent)
            nodes.append(
                Node(
                    parent=parent,
                    prompt=prompts[grown.parent] if parent is None else nodes[parent].prompt,
                    wave=grown.wave,
                    text=grown.text,
                    num_tokens=grown.num_tokens,
                    logprob=_finite(grown.logprob),
                    finish=grown.finish,
                    at_s=_time(grown.at_s),
                    score=_share(scored.score) if scored is not None else None,
                    scored_at_s=_time(scored.at_s) if scored is not None else None,
                    proof=grown.proof,
                )
            )
        return tuple(nodes)

    def _changes(self, solution: Solution) -> tuple[Best, ...]:
        """The best answers, none later than the end, the final one last."""
        wall_s, found = solution.wall_s, self._best
        earlier = [Best(min(each.at_s, wall_s), each.answer, each.score, each.num_candidates) for each in found]
        if solution.answer is None or (earlier and earlier[-1].answer == solution.answer):
            return tuple(earlier)
        chosen = _chosen(solution)
        score = _share(solution.candidates[chosen].score) if chosen is not None else None
        return (*earlier, Best(wall_s, solution.answer, score, len(solution.candidates)))


def _chosen(solution: Solution) -> int | None:
    """The place of the candidate that the solution is; of equal ones, that of the first to be finished."""
    same = [
        (math.inf if each.finished_s is None else each.finished_s, place)
        for place, each in enumerate(solution.candidates)
        if each.beam.text == solution.text and each.beam.steps and each.answer == solution.answer
    ]
    return min(same)[1] if same else None


def _homes(grown: Mapping[int, Grew], candidates: Sequence[Candidate]) -> list[int | None]:
    """The id of the last step of each candidate; None where it was not told.

    A candidate that was drawn like another has the steps, and so the ids, of the one that was scored. Its own end is
    one with the same texts before it, and the one that was drawn at its time.
    """
    kinds: dict[tuple[int | None, str], int] = {}  # of steps after the same texts
    kind_of: dict[int, int] = {}
    same: dict[tuple[int, Finish], list[Grew]] = {}
    for id_, each in grown.items():
        key = (kind_of.get(each.parent), each.text)
        kind_of[id_] = kinds.setdefault(key, len(kinds))
        same.setdefault((kind_of[id_], each.finish), []).append(each)
    homes: list[int | None] = []
    for candidate in candidates:
        kind: int | None = None
        for step in candidate.beam.steps:
            kind = kinds.get((kind, step.text), -1)
        left = same.get((-1 if kind is None else kind, candidate.beam.finish), [])
        own = candidate.beam.node if candidate.beam.node in grown else None
        homes.append(_nearest(left, candidate) if left else own)
    return homes


def _nearest(left: list[Grew], candidate: Candidate) -> int:
    """The id of the one that was drawn when the candidate was finished; it is not taken twice."""
    at_s = candidate.finished_s
    place = 0 if at_s is None else min(range(len(left)), key=lambda each: abs(left[each].at_s - at_s))
    return left.pop(place).node


def _path(grown: Mapping[int, Grew], last: int | None) -> list[int]:
    """The ids from a first step to that one."""
    path: list[int] = []
    while last is not None and last in grown:
        path.append(last)
        last = grown[last].parent
    return path[::-1]


def _kept(grown: Mapping[int, Grew], path: Sequence[int], max_nodes: int, max_chars: int) -> list[int]:
    """The ids that fit, in order: the path, and of the others the first."""
    on_path = set(path)
    left = max(0, max_nodes - len(path))
    room = max_chars - sum(len(grown[id_].text) for id_ in path)
    others = [id_ for id_ in grown if id_ not in on_path][:left]
    sizes = accumulate(len(grown[id_].text) for id_ in others)
    fitting = {id_ for id_, size in zip(others, sizes, strict=True) if size <= room}
    return [id_ for id_ in grown if id_ in on_path or id_ in fitting]


def _prompts(waves: Sequence[WaveStarted], grown: Sequence[Grew], numbers: Mapping[int, int]) -> dict[int, int]:
    """Numbers of all that nodes grow from and that are no nodes themselves, by their ids; the problem's is 0."""
    roots = [each.root for each in waves] + [each.parent for each in grown if each.parent not in numbers]
    return {id_: number for number, id_ in enumerate(dict.fromkeys(roots))}


def _ends(candidates: Sequence[Candidate], homes: Sequence[int | None], numbers: Mapping[int, int]) -> Iterator[End]:
    for each, home in zip(candidates, homes, strict=True):
        if home is not None and home in numbers:
            yield End(numbers[home], each.answer, _share(each.score), _finite(each.weight), each.finished_s)


def _outcome(solution: Solution) -> Outcome:
    return Outcome(
        answer=solution.answer,
        text=solution.text,
        finish=solution.finish,
        confidence=solution.confidence,
        is_calibrated=solution.is_calibrated,
        agreement=solution.agreement,
        proof=solution.proof,
        early_stop=solution.early_stop,
        wall_s=solution.wall_s,
        usage=solution.usage,
        warnings=solution.warnings,
        least_s=_time(solution.plan.least_s) if solution.plan is not None else None,
        difficulty=solution.plan.difficulty if solution.plan is not None else None,
        policy=solution.plan.policy if solution.plan is not None else None,
    )


def _wave(event: WaveStarted, prompt: int) -> Wave:
    wave = event.wave
    used = replace(wave, started_s=_time(wave.started_s), predicted_s=_time(wave.predicted_s))
    return Wave(event.number, prompt, used)


def _share(score: float | None) -> float | None:
    """The score, if it is one."""
    return score if score is not None and 0 <= score <= 1 else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _time(value: float) -> float:
    """The moment, within what a trace can hold: predictions may be infinite."""
    return 0.0 if math.isnan(value) else min(max(0.0, value), MAX_S)

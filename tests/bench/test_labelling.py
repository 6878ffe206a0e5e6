"""Step labels by rollouts: on a scripted engine what they are and that no work is done twice; on the built-in model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgesearch import tasks
from edgesearch.bench.labelling import (
    Labeller,
    LabellingFinished,
    LabelProgress,
    LabelSettings,
    ProblemSkipped,
)
from edgesearch.budget import ManualClock
from edgesearch.catalog import SolverSpec
from edgesearch.engines.base import Draft, Drafted
from edgesearch.engines.scripted import ScriptedEngine, Writer
from edgesearch.errors import UsageError
from edgesearch.tasks.arithmetic import held_out, label_steps
from edgesearch.tasks.base import Source, Task, make_sample
from edgesearch.types import Beam

SEVEN = r"The answer is \boxed{7}"
SIX = r"The answer is \boxed{6}"


def task(*questions: str) -> Task:
    samples = tuple(make_sample(f"p-{index}", question, "7") for index, question in enumerate(questions))
    return Task("made", 1, "all", "plain-1", "answer-1", Source("built-in", "1", "MIT"), samples)


def write(beam: Beam, seed: int) -> str:
    """Solutions of two steps: from a good first step 7 follows, from a bad one 7 or 6."""
    if not beam.steps:
        first = "good" if seed % 3 else "bad"
        return f"{first}\n\n" + _end(first, seed)
    return _end(beam.text.strip(), seed)


def _end(first: str, seed: int) -> str:
    return SEVEN if first == "good" or seed % 5 else SIX


class Watched(ScriptedEngine):
    """Notes the drafts that were started."""

    def __init__(self, write: Writer, **limits: int) -> None:
        super().__init__(write, **limits)
        self.drafts: list[Draft] = []
        self.is_closed = False

    def start(self, draft: Draft) -> None:
        self.drafts.append(draft)
        super().start(draft)

    def close(self) -> None:
        self.is_closed = True
        super().close()

    @property
    def rollouts(self) -> Counter[str]:
        """How many started from each prefix."""
        return Counter(draft.beam.text for draft in self.drafts if draft.is_to_end)


class World:
    """Labels on scripted engines."""

    def __init__(self, out: Path, write: Writer = write, **limits: int) -> None:
        self.out, self.write, self.limits = out, write, limits
        self.engines: list[Watched] = []

    def load(self, spec: SolverSpec) -> Watched:
        assert spec.name == "nano"
        self.engines.append(Watched(self.write, **self.limits))
        return self.engines[-1]

    def labeller(self, made: Task, clock: ManualClock | None = None, **settings: int) -> Labeller:
        clock = clock or ManualClock()
        return Labeller(made, "nano", self.out, LabelSettings(**settings), load=self.load, clock=clock)

    def run(self, made: Task, **settings: int) -> LabellingFinished:
        *_, last = self.labeller(made, **settings).events()
        assert isinstance(last, LabellingFinished)
        return last

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "labels.jsonl")


# -- what a label is ---------------------------------------------------------------------------------------------------


def test_a_steps_value_is_the_share_of_its_rollouts_that_are_right(world: World) -> None:
    world.run(task("how many"), num_samples=12, num_rollouts=10)
    of_bad = [draft for draft in world.engines[0].drafts if draft.is_to_end and draft.beam.text == "bad\n\n"]
    share = sum(_end("bad", draft.seed) == SEVEN for draft in of_bad) / 10
    assert 0 < share < 1
    first_steps = {line["steps"][0]: line["values"][0] for line in world.lines}
    assert first_steps == {"good\n\n": 1.0, "bad\n\n": share}


def test_the_last_step_is_judged_by_the_solutions_own_answer(world: World) -> None:
    world.run(task("how many"), num_samples=12, num_rollouts=3)
    for line in world.lines:
        assert line["values"][-1] == float(line["is_right"]) == float(line["answer"] == "7")
    assert {line["is_right"] for line in world.lines} == {True, False}


def test_the_hard_label_is_one_where_any_rollout_is_right(world: World) -> None:
    world.run(task("how many"), num_samples=12, num_rollouts=10)
    for line in world.lines:
        assert line["labels"] == [int(value > 0) for value in line["values"]]
        assert len(line["labels"]) == len(line["values"]) == len(line["steps"])


def test_a_step_that_nothing_right_follows_has_the_label_0(tmp_path: Path) -> None:
    world = World(tmp_path / "labels.jsonl", lambda beam, seed: SIX if beam.steps else "hm\n\n" + SIX)
    world.run(task("how many"), num_samples=2, num_rollouts=4)
    assert [line["values"] for line in world.lines] == [[0.0, 0.0]] * 2
    assert [line["labels"] for line in world.lines] == [[0, 0]] * 2


def test_a_line_says_what_was_asked_and_by_whom_it_was_answered(world: World) -> None:
    finished = world.run(task("how many", "how many else"), num_samples=2, num_rollouts=3, seed=5)
    assert [(line["task_id"], line["sample"]) for line in world.lines] == [
        ("p-0", 0),
        ("p-0", 1),
        ("p-1", 0),
        ("p-1", 1),
    ]
    line = world.lines[-1]
    assert line["schema_version"] == 1
    assert (line["problem"], line["target"]) == ("how many else", "7")
    assert (line["model"], line["seed"], line["rollouts"], line["num_samples"]) == ("nano", 5, 3, 2)
    assert line["finish"] == "stop"
    assert set(line["usage"]) == {
        "prompt_tokens",
        "prefilled_tokens",
        "reused_tokens",
        "decoded_tokens",
        "solver_flops",
    }
    assert finished.totals.num_solutions == 4
    assert finished.totals.num_steps == sum(len(each["steps"]) for each in world.lines)
    assert finished.totals.num_right_steps == sum(sum(each["labels"]) for each in world.lines)
    assert finished.totals.num_right == sum(each["is_right"] for each in world.lines)
    assert finished.totals.decoded_tokens == sum(each["usage"]["decoded_tokens"] for each in world.lines[::2])


def test_a_solution_that_was_cut_off_is_not_right_and_states_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "labels.jsonl", lambda beam, seed: SEVEN + " so I think")
    world.run(task("how many"), num_samples=1, num_rollouts=2, max_tokens=8)
    [line] = world.lines
    assert (line["finish"], line["answer"], line["is_right"], line["values"]) == ("length", None, False, [0.0])


def test_rollouts_that_are_cut_off_reach_nothing(tmp_path: Path) -> None:
    def long_end(beam: Beam, seed: int) -> str:
        return SEVEN + " " * 40 if beam.steps else "good\n\n" + SEVEN

    world = World(tmp_path / "labels.jsonl", long_end)
    world.run(task("how many"), num_samples=1, num_rollouts=2, max_tokens=20)
    assert world.lines[0]["values"][0] == 0.0


def test_a_blank_ending_is_no_step_of_its_own(tmp_path: Path) -> None:
    world = World(tmp_path / "labels.jsonl", lambda beam, seed: SEVEN + "\n\n" if not beam.steps else "")
    world.run(task("how many"), num_samples=3, num_rollouts=2)
    assert [(line["steps"], line["values"]) for line in world.lines] == [([SEVEN + "\n\n"], [1.0])] * 3


# -- no work is done twice ---------------------------------------------------------------------------------------------


def test_prefixes_that_read_alike_are_rolled_out_once(world: World) -> None:
    world.run(task("how many"), num_samples=12, num_rollouts=4)
    assert world.engines[0].rollouts == {"good\n\n": 4, "bad\n\n": 4}


def test_a_prompt_is_prefilled_once_and_nothing_is_held_afterwards(world: World) -> None:
    world.run(task("how many", "how many else"), num_samples=6, num_rollouts=4)
    assert all(line["usage"]["prefilled_tokens"] == line["usage"]["prompt_tokens"] for line in world.lines)
    assert world.engines[0].nodes == set()
    assert world.engines[0].is_closed


def test_a_sample_goes_on_with_its_own_random_stream_beside_its_rollouts(world: World) -> None:
    world.run(task("how many"), num_samples=3, num_rollouts=4)
    drafts = world.engines[0].drafts
    first = {draft.seed for draft in drafts if not draft.beam.steps}
    assert {draft.seed for draft in drafts if draft.beam.steps and not draft.is_to_end} == first
    assert len({draft.seed for draft in drafts if draft.is_to_end}) == len([d for d in drafts if d.is_to_end])


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        world = World(tmp_path / name)
        world.run(task("how many", "how many else"), num_samples=6, num_rollouts=8, seed=seed)
        texts.append([(line["steps"], line["values"]) for line in world.lines])
    assert texts[0] == texts[1] != texts[2]


def test_two_problems_have_draws_of_their_own(world: World) -> None:
    world.run(task("how many", "how many"), num_samples=6, num_rollouts=4)
    drafts = [draft for draft in world.engines[0].drafts if not draft.beam.steps]
    assert len({draft.seed for draft in drafts}) == 12


# -- resuming ----------------------------------------------------------------------------------------------------------

QUESTIONS = ("one", "two", "three", "four")


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The file of a run in one go."""
    world = World(tmp_path / "whole.jsonl")
    world.run(task(*QUESTIONS), num_samples=3, num_rollouts=4)
    return world.out.read_bytes()


def test_what_is_done_is_skipped_and_no_engine_is_loaded_for_nothing(world: World, whole: bytes) -> None:
    world.out.write_bytes(whole)
    finished = world.run(task(*QUESTIONS), num_samples=3, num_rollouts=4)
    assert (finished.num_resumed, finished.num_labelled, finished.num_left) == (4, 0, 0)
    assert not world.engines
    assert world.out.read_bytes() == whole


@pytest.mark.parametrize("cut", ["after a problem", "after a solution", "in a line", "in the first line", "at nothing"])
def test_a_file_that_was_cut_off_anywhere_becomes_the_one_of_a_run_in_one_go(
    world: World, whole: bytes, cut: str
) -> None:
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    size = {
        "after a problem": ends[5],
        "after a solution": ends[6],
        "in a line": ends[7] + 40,
        "in the first line": 11,
        "at nothing": 0,
    }[cut]
    world.out.write_bytes(whole[:size])
    finished = world.run(task(*QUESTIONS), num_samples=3, num_rollouts=4)
    assert world.out.read_bytes() == whole
    num_whole = 2 if size >= ends[5] else 0
    assert (finished.num_resumed, finished.num_labelled) == (num_whole, 4 - num_whole)
    asked = {draft.beam.prompt.user for draft in world.engines[0].drafts}
    assert asked == set(QUESTIONS[num_whole:])


def test_a_cancelled_run_keeps_what_is_done_and_goes_on(world: World, whole: bytes) -> None:
    labeller = world.labeller(task(*QUESTIONS), num_samples=3, num_rollouts=4)
    events = labeller.events()
    for event in events:
        if isinstance(event, LabelProgress) and event.num_done == 2:
            labeller.cancel()
        last = event
    assert isinstance(last, LabellingFinished)
    assert last.is_cancelled
    assert (last.num_labelled, last.num_left) == (2, 2)
    assert whole.startswith(world.out.read_bytes())
    world.run(task(*QUESTIONS), num_samples=3, num_rollouts=4)
    assert world.out.read_bytes() == whole


def test_a_run_that_was_cancelled_before_it_began_labels_nothing(world: World) -> None:
    labeller = world.labeller(task("one"))
    labeller.cancel()
    [last] = labeller.events()
    assert isinstance(last, LabellingFinished)
    assert last.is_cancelled
    assert not world.engines
    assert world.out.read_bytes() == b""


def test_more_problems_are_added_to_those_there_are(world: World) -> None:
    world.run(task(*QUESTIONS[:2]), num_samples=2, num_rollouts=2)
    before = world.out.read_bytes()
    finished = world.run(task(*QUESTIONS), num_samples=2, num_rollouts=2)
    assert (finished.num_resumed, finished.num_labelled) == (2, 2)
    assert world.out.read_bytes().startswith(before)


@pytest.mark.parametrize("other", [{"num_samples": 4}, {"num_rollouts": 5}, {"seed": 1}, {"max_tokens": 50}])
def test_labels_of_other_settings_are_never_mixed(world: World, whole: bytes, other: dict[str, int]) -> None:
    world.out.write_bytes(whole)
    with pytest.raises(UsageError, match=r"another model, task or settings \(line 1\); give another --out"):
        world.run(task(*QUESTIONS), **{"num_samples": 3, "num_rollouts": 4} | other)
    assert world.out.read_bytes() == whole


# -- how it goes -------------------------------------------------------------------------------------------------------


def test_progress_is_told_after_each_problem_with_the_time_that_is_left(tmp_path: Path) -> None:
    clock = ManualClock()

    class Slow(Watched):
        def advance(self, deadline: Any) -> list[Drafted]:
            clock.advance(0.25)
            return super().advance(deadline)

    world = World(tmp_path / "labels.jsonl")
    world.load = lambda spec: Slow(write)  # type: ignore[method-assign, assignment]
    events = list(world.labeller(task(*QUESTIONS), clock, num_samples=2, num_rollouts=2).events())
    told = [event for event in events if isinstance(event, LabelProgress)]
    assert told[0].time_left_s is None
    assert told[0].totals.decoded_tokens > 0  # of the problem under way
    ended = [event for event in told if event.num_done and event.sample_id == f"p-{event.num_done - 1}"]
    assert [event.num_done for event in ended] == [1, 2, 3, 4]
    first, *_, last = ended
    assert first.time_left_s == pytest.approx(3 * clock.now_s / 4, rel=0.5)
    assert last.time_left_s == 0
    assert isinstance(events[-1], LabellingFinished)
    assert events[-1].wall_s == clock.now_s


def test_a_problem_that_does_not_fit_is_left_out_and_the_others_are_labelled(tmp_path: Path) -> None:
    world = World(tmp_path / "labels.jsonl", max_context=40)
    events = list(world.labeller(task("one", "word " * 50, "three"), num_samples=2, num_rollouts=2).events())
    skipped = [event for event in events if isinstance(event, ProblemSkipped)]
    assert [event.sample_id for event in skipped] == ["p-1"]
    assert "shorten" in skipped[0].reason
    assert {line["task_id"] for line in world.lines} == {"p-0", "p-2"}
    last = events[-1]
    assert isinstance(last, LabellingFinished)
    assert (last.num_labelled, last.num_skipped, last.num_left) == (2, 1, 0)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("num_samples", 0, r"in \[1, 250\]"),
        ("num_samples", 251, r"in \[1, 250\]"),
        ("num_rollouts", 0, r"in \[1, 4096\]"),
        ("max_tokens", 0, ">= 1"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(field: str, value: int, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be {allowed}, not {value}$"):
        LabelSettings(**{field: value})


def test_fewer_drafts_together_than_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="n must be at least the number of samples, 8, not 4"):
        Labeller(task("one"), "nano", tmp_path / "labels.jsonl", n=4)


# -- on the built-in model ---------------------------------------------------------------------------------------------


def labelled(path: Path, *, cancel_after: int | None = None) -> Sequence[dict[str, Any]]:
    made = tasks.load("arithmetic", limit=12, seed=31)
    labeller = Labeller(made, "nano", path, LabelSettings(4, 6, seed=2), num_threads=1)
    for event in labeller.events():
        if isinstance(event, LabelProgress) and event.num_done == cancel_after:
            labeller.cancel()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def by_rollouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    assert len(labelled(path)) == 48
    return path


def test_labels_by_rollouts_mostly_agree_with_labels_by_program(by_rollouts: Path) -> None:
    problems = {sample.id: sample for sample in held_out(31, 12, "mixed")}
    pairs = []
    for text in by_rollouts.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        by_program = label_steps(problems[line["task_id"]], [step.strip() for step in line["steps"]])
        pairs += list(zip(by_program, map(bool, line["labels"]), strict=True))[:-1]
    assert len(pairs) > 50
    assert len({right for right, _ in pairs}) == 2
    assert sum(a == b for a, b in pairs) / len(pairs) > 0.8


def test_a_resumed_run_of_the_model_makes_the_same_file(by_rollouts: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    assert 0 < len(labelled(path, cancel_after=5)) < 48
    with path.open("ab") as file:
        file.write(b'{"schema_version": 1, "ke')
    labelled(path)
    assert path.read_bytes() == by_rollouts.read_bytes()


def test_prompts_and_prefixes_are_never_decoded_twice(by_rollouts: Path) -> None:
    lines = [json.loads(text) for text in by_rollouts.read_text(encoding="utf-8").splitlines()]
    assert all(line["usage"]["prefilled_tokens"] == line["usage"]["prompt_tokens"] for line in lines)

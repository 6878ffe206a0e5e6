"""Traces of real solves, on the built-in models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import edgesearch
from edgesearch.events import Event, Grew, Started
from edgesearch.trace import file, page
from edgesearch.trace.model import Trace
from edgesearch.trace.recorder import Recorder, record

EASY = "Ana has 12 apples. Ben has twice as many as Ana. How many apples do Ana and Ben have together?"


@pytest.fixture(scope="module")
def pipeline() -> Iterator[edgesearch.Pipeline]:
    with edgesearch.load(check=False) as loaded:  # a proof would end a search at once
        yield loaded


def check(trace: Trace, folder: Path) -> None:
    """What is so of every trace: it comes back from its file, and the chosen path is the solution."""
    file.write(trace, folder / "trace.json")
    assert file.read(folder / "trace.json") == trace
    assert "".join(trace.nodes[number].text for number in trace.chosen) == trace.outcome.text
    assert "</html>" in page.html(trace)
    for node in trace.nodes:
        assert node.parent is None or node.at_s >= trace.nodes[node.parent].at_s
        assert node.scored_at_s is None or node.scored_at_s >= node.at_s


@pytest.mark.parametrize("strategy", ["auto", "beam", "majority", "mcts", "revision"])
def test_the_trace_of_a_solve_leads_to_its_answer(pipeline: edgesearch.Pipeline, strategy: str, tmp_path: Path):
    trace = record(pipeline.events(EASY, budget_s=20, strategy=strategy, n=8, is_traced=True))
    check(trace, tmp_path)
    assert trace.outcome.answer == "36"
    assert trace.chosen
    assert r"\boxed{36}" in trace.nodes[trace.chosen[-1]].text
    assert trace.num_prompts == (7 if strategy == "revision" else 1)
    assert trace.waves[0].used.strategy.n >= 1
    assert any(node.score is not None for node in trace.nodes) == (strategy != "majority")
    assert len({end.node for end in trace.ends}) == len(trace.ends)


def test_as_many_tokens_are_in_the_trace_as_were_drawn(pipeline: edgesearch.Pipeline):
    trace = record(pipeline.events(EASY, budget_s=20, strategy="majority", n=8, is_traced=True))
    assert sum(node.num_tokens for node in trace.nodes) == trace.outcome.usage.decoded_tokens


def test_an_interrupted_solve_has_a_trace_of_what_there_was(pipeline: edgesearch.Pipeline, tmp_path: Path):
    recorder = Recorder()
    for event in pipeline.events(EASY, budget_s=60, strategy="beam", n=16, is_traced=True):
        recorder.add(event)
        if isinstance(event, Grew):
            pipeline.cancel()
    trace = recorder.trace()
    check(trace, tmp_path)
    assert trace.nodes
    assert trace.outcome.wall_s < 30


def test_without_asking_for_it_no_step_is_told(pipeline: edgesearch.Pipeline):
    events: list[Event] = list(pipeline.events(EASY, budget_s=20, strategy="beam", n=8))
    assert isinstance(events[0], Started)
    assert record(events).nodes == ()

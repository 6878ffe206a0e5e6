"""From events to a trace: numbers, prompts, the chosen path, whose candidate is whose, and limits."""

import dataclasses
import math

import made_traces
import pytest

from edgesearch.events import Grew, Progress, Scored, Solved, WaveStarted
from edgesearch.trace.model import MAX_NODES, MAX_S, End
from edgesearch.trace.recorder import Recorder, record
from edgesearch.types import Candidate, WaveUsed


def test_nodes_are_numbered_in_their_order_behind_their_parents():
    trace = made_traces.trace()
    assert [node.parent for node in trace.nodes] == [None, 0, None, None, None, 2, 2, 6, 6, None, None, None]
    assert [node.text for node in trace.nodes] == [step[2] for step in made_traces.STEPS.values()]
    assert (trace.nodes[2].score, trace.nodes[2].scored_at_s) == (0.9, pytest.approx(0.12))
    assert (trace.nodes[4].score, trace.nodes[4].scored_at_s) == (None, None)
    assert [node.proof for node in trace.nodes if node.proof is not None] == [True]


def test_a_parent_that_never_grew_is_a_prompt_of_its_own_and_the_problem_is_the_first():
    trace = made_traces.trace()
    assert trace.num_prompts == 2
    assert [node.prompt for node in trace.nodes] == [0] * 11 + [1]
    assert [wave.prompt for wave in trace.waves] == [0, 0, 0]


def test_the_chosen_path_leads_from_a_first_step_to_the_chosen_solution():
    trace = made_traces.trace()
    assert "".join(trace.nodes[number].text for number in trace.chosen) == trace.outcome.text
    assert trace.chosen == (2, 6, 7)


def test_of_equal_solutions_the_first_that_was_finished_is_the_chosen_one():
    late, early = (
        dataclasses.replace(each, finished_s=at_s) for each, at_s in zip(two_alike(), (0.5, 0.4), strict=True)
    )
    trace = made_traces.trace(candidates=(late, early), text=late.beam.text)
    assert trace.chosen == (9,)
    assert trace.ends == (End(10, "42", 0.7, None, 0.5), End(9, "42", 0.7, None, 0.4))


def two_alike() -> tuple[Candidate, Candidate]:
    """Two candidates with the steps of the one that was scored."""
    made_traces.STEPS[111] = (1, 100, made_traces.STEPS[110][2], "stop", 0.5, None)
    return (Candidate(made_traces.beam(110), "42", 0.7), Candidate(made_traces.beam(110), "42", 0.7))


@pytest.fixture(autouse=True)
def _own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_traces, "STEPS", dict(made_traces.STEPS))


def test_a_candidate_belongs_to_the_step_that_was_drawn_at_its_time_and_each_step_has_one():
    """Copies share the beam, and so the ids, of the one that was scored."""
    candidates = tuple(
        dataclasses.replace(each, finished_s=at_s) for each, at_s in zip(two_alike(), (0.52, 0.41), strict=True)
    )
    assert [end.node for end in made_traces.trace(candidates=candidates).ends] == [10, 9]


def test_a_solution_that_is_no_candidate_has_no_path():
    assert made_traces.trace(text="something else").chosen == ()
    assert made_traces.trace(candidates=()).ends == ()


def test_an_unanswered_solve_has_a_trace():
    trace = made_traces.trace(answer=None, text="", candidates=(), confidence=None, plan=None, finish="deadline")
    assert (trace.outcome.answer, trace.chosen, trace.outcome.least_s) == (None, (), None)
    assert [best.answer for best in trace.best] == ["41"]


def test_the_best_answer_is_noted_when_it_changes_and_the_final_one_is_the_last():
    trace = made_traces.trace()
    assert [(best.answer, best.num_candidates) for best in trace.best] == [("41", 1), ("42", 2)]
    trace = made_traces.trace(answer="41", text=made_traces.beam(101, 102).text, wall_s=0.3)
    assert [(best.answer, best.at_s) for best in trace.best] == [("41", pytest.approx(0.2)), ("42", 0.3), ("41", 0.3)]


def test_what_the_plan_says_is_kept():
    outcome = made_traces.trace().outcome
    assert (outcome.least_s, outcome.difficulty, outcome.policy) == (0.2, 3, "a policy")


def test_too_many_nodes_are_left_out_from_the_end_but_never_the_chosen_path():
    trace = record(made_traces.events(), max_nodes=4)
    assert [node.text for node in trace.nodes] == [made_traces.STEPS[id_][2] for id_ in (101, 103, 107, 108)]
    assert (trace.chosen, trace.num_left_out) == ((1, 2, 3), 8)
    assert [end.node for end in trace.ends] == [3]


def test_too_many_characters_are_left_out_from_the_end_but_never_the_chosen_path():
    kept = sum(len(made_traces.STEPS[id_][2]) for id_ in (101, 102, 103, 107, 108))
    trace = record(made_traces.events(), max_chars=kept)
    assert len(trace.nodes) == 5
    assert len(record(made_traces.events(), max_chars=kept - 1).nodes) == 4
    assert [len(record(made_traces.events(), max_chars=most).nodes) for most in (0, 10**9)] == [3, 12]


def test_a_limit_out_of_range_is_refused():
    with pytest.raises(ValueError, match=rf"max_nodes must be in \[0, {MAX_NODES}\], not -1"):
        Recorder(max_nodes=-1)


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, -1), slice(0, 0)])
def test_events_that_are_not_of_a_whole_solve_make_no_trace(kept: slice):
    with pytest.raises(ValueError, match="from Started to Solved"):
        record(list(made_traces.events())[kept])


def test_figures_that_no_file_can_hold_are_left_out_or_cut():
    events = list(made_traces.events())
    wave = WaveUsed(made_traces.BEAM, "", -1.0, math.inf)
    events[1:1] = [WaveStarted(5, 100, wave), WaveStarted(6, 100, dataclasses.replace(wave, predicted_s=math.nan))]
    events[-1:-1] = [
        Grew(5, 900, 100, "a", 1, -math.inf, "step", None, -0.5),
        Scored(900, math.nan, math.inf),
        Progress(-math.inf, (), Candidate(made_traces.beam(110), "7", math.nan), 1, 1, 1.0),
    ]
    trace = record(events)
    assert [(each.used.started_s, each.used.predicted_s) for each in trace.waves[:2]] == [(0.0, MAX_S), (0.0, 0.0)]
    node = trace.nodes[-1]
    assert (node.logprob, node.at_s, node.score, node.scored_at_s) == (None, 0.0, None, MAX_S)
    assert [(best.answer, best.at_s, best.score) for best in trace.best][-2:] == [("7", 0.55, None), ("42", 0.55, 0.98)]


def test_a_step_that_is_told_twice_is_one_node():
    events = list(made_traces.events())
    assert isinstance(events[-1], Solved)
    again = [event for event in events if isinstance(event, Grew | Scored)]
    assert record([*events[:-1], *again, events[-1]]) == made_traces.trace()

"""A trace as a tree to look at: copies are one branch, and each branch knows its fate and what lies below it."""

import made_traces
from hypothesis import given
from test_trace_file import forests

from edgesearch.trace import tree, words
from edgesearch.trace.recorder import record


def branches() -> dict[tuple[int, str], tree.Branch]:
    """Those of the made trace, by wave and text."""
    return {(branch.wave, branch.text.strip()): branch for branch in tree.grow(made_traces.trace())}


def test_a_step_drawn_twice_is_one_branch_with_the_score_and_children_of_either():
    branch = branches()[0, "Six sevens: 6 × 7 = 42."]
    assert (branch.members, branch.score, len(branch.children), branch.first_s) == ([2, 4], 0.9, 2, 0.1)


def test_what_was_scored_in_one_wave_has_its_score_in_all():
    steps = dict(made_traces.STEPS)
    try:
        made_traces.STEPS[111] = (0, 100, r"\boxed{42}", "stop", 0.5, None)
        found = branches()
    finally:
        made_traces.STEPS.clear()
        made_traces.STEPS.update(steps)
    assert [found[wave, r"\boxed{42}"].score for wave in (0, 1)] == [0.7, 0.7]


def test_each_branch_knows_what_became_of_it():
    found = branches()
    fates = {text: branch.fate for (_, text), branch in found.items()}
    assert fates["Six sevens: 6 × 7 = 42."] == "grown"
    assert fates["6 + 7 = 13."] == "dropped"
    assert fates["It might be 4"] == "length"
    assert fates["Let me see"] == "deadline"
    assert fates[r"The answer is \boxed{42}"] == "finished"
    assert set(words.FATES) >= set(fates.values())


def test_each_branch_knows_what_lies_below_it():
    found = branches()
    top, dropped = found[0, "Six sevens: 6 × 7 = 42."], found[0, "6 + 7 = 13."]
    assert (top.num_below, top.best_score, top.is_live, top.is_chosen, top.depth) == (4, 0.98, True, True, 1)
    assert (dropped.num_below, dropped.best_score, dropped.is_live, dropped.is_chosen) == (0, 0.1, False, False)


def test_first_steps_are_told_apart_by_prompt_and_wave():
    found = tree.tops(tree.grow(made_traces.trace()))
    assert list(found) == [(0, -1), (0, 0), (0, 1), (1, 1)]
    assert [len(numbers) for numbers in found.values()] == [1, 2, 2, 1]


def test_waves_have_spans_also_where_only_their_nodes_are_known():
    trace = made_traces.trace()
    found = tree.spans(record(event for event in made_traces.events() if type(event).__name__ != "WaveStarted"))
    assert [(span.number, span.num_nodes, len(span.ends)) for span in found] == [(-1, 2, 1), (0, 7, 1), (1, 3, 2)]
    assert [span.wave for span in found] == [None] * 3
    assert [(span.started_s, span.ended_s) for span in tree.spans(trace)] == [(0.0, 0.1), (0.0, 0.37), (0.4, 0.52)]


def test_candidates_agree_by_what_their_answers_mean():
    trace = made_traces.trace()
    assert [tree.agrees(trace, end) for end in trace.ends] == [True, True, False, True]
    assert not tree.agrees(made_traces.trace(answer=None), trace.ends[0])


@given(forests())
def test_every_node_is_in_exactly_one_branch_and_sums_add_up(events):
    trace = record(events)
    found = tree.grow(trace)
    assert sorted(number for branch in found for number in branch.members) == list(range(len(trace.nodes)))
    tops = [found[number] for numbers in tree.tops(found).values() for number in numbers]
    assert sum(1 + branch.num_below for branch in tops) == len(found)
    for branch in found:
        assert all(found[child].parent == branch.number > -1 and child > branch.number for child in branch.children)
        assert branch.is_live == (branch.finish == "stop" or any(found[child].is_live for child in branch.children))


def test_unseen_characters_are_spelled_out():
    shown = words.visible("a\x00b\x1b[31m\u202ec\r\nd\te\ud83e")
    assert shown == "a‹U+0000›b‹U+001B›[31m‹U+202E›c\nd\te‹U+D83E›"
    assert words.one_line(" a\n\n b " * 50, 10) == "a b a b a…"
    assert words.one_line("short", 10) == "short"


def test_words_say_why_it_ended_and_how_sure_it_is():
    assert "more samples would hardly have changed" in words.stopped(made_traces.trace())
    assert "passes all visible tests" in words.stopped(made_traces.trace(early_stop="passed"))
    assert "was complete" in words.stopped(made_traces.trace(early_stop=None))
    assert "was interrupted" in words.stopped(made_traces.trace(early_stop=None, finish="deadline"))
    assert "until the time was over" in words.stopped(made_traces.trace(early_stop=None, finish="deadline", wall_s=1.9))
    assert "proven right" in words.stopped(made_traces.trace(early_stop=None, proof=True))
    assert words.confidence(made_traces.trace()) == "0.90 (share of the vote, not a probability)"
    assert words.confidence(made_traces.trace(is_calibrated=True)) == "0.90 (probability, calibrated)"
    assert words.confidence(made_traces.trace(proof=False)) == "proven wrong"
    assert words.confidence(made_traces.trace(confidence=None)) == "unknown"

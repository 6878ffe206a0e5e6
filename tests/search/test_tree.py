"""The search tree's statistics: visits, values, virtual loss, widening and copies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from searches import ROOT, grow, judge

from edgesearch.search.base import SearchConfig
from edgesearch.search.tree import Node, num_children, worth


def chain(length: int) -> list[Node]:
    """A root and its only descendants."""
    nodes = [Node(ROOT)]
    for _ in range(length):
        nodes.append(nodes[-1].adopt(grow([nodes[-1].beam])[0], 0.5))
    return nodes


def test_what_a_simulation_came_to_is_backed_up_to_the_root_and_nowhere_else() -> None:
    nodes = chain(2)
    sibling = nodes[1].adopt(grow([nodes[1].beam], texts=["other\n\n"])[0], 0.2)
    for node in nodes:
        node.enter()
    nodes[-1].back_up(0.75)
    assert [(node.visits, node.total, node.pending) for node in nodes] == [(1, 0.75, 0)] * 3
    assert (sibling.visits, sibling.total, sibling.pending) == (0, 0.0, 0)


def test_the_mean_is_over_what_has_ended_and_what_is_under_way_counts_as_a_loss() -> None:
    node = Node(ROOT, value=0.3)
    assert node.mean == node.mean_with_losses == 0.3
    assert (node.enter().mean, node.mean_with_losses) == (0.3, 0.0)
    node.back_up(0.8)
    node.enter().back_up(0.4)
    assert node.mean == node.mean_with_losses == pytest.approx(0.6)
    node.enter()
    assert (node.tries, node.mean, node.mean_with_losses) == (3, pytest.approx(0.6), pytest.approx(0.4))
    node.leave()
    assert (node.tries, node.mean_with_losses) == (2, pytest.approx(0.6))


def test_a_node_wants_m_draws_and_later_as_many_as_the_square_root_of_m_times_its_visits() -> None:
    node = Node(ROOT)
    wanted = []
    for visits in (0, 4, 5, 16, 17, 36, 37):
        node.visits = visits
        while node.wants_draws(4):
            node.num_draws += 4
        wanted.append(node.num_draws)
    assert wanted == [4, 4, 8, 8, 12, 12, 16]


@given(st.integers(1, 8), st.integers(0, 500), st.integers(0, 200))
def test_draws_are_wanted_until_they_reach_that_number_and_no_further(m, visits, num_draws) -> None:
    node = Node(ROOT, visits=visits, num_draws=num_draws)
    assert node.wants_draws(m) == (num_draws < max(m, (m * visits) ** 0.5))


@pytest.mark.parametrize("finish", ["stop", "length", "deadline"])
def test_what_cannot_grow_wants_no_draws(finish) -> None:
    assert not Node(grow([ROOT], [finish])[0]).wants_draws(4)


def test_a_step_that_was_drawn_before_is_the_same_child() -> None:
    node = Node(ROOT)
    texts = ["a\n\n", "b\n\n", "a\n\n", "a\n\n"]
    children = [node.adopt(beam, 0.1) for beam in grow([ROOT] * 4, ["step", "step", "step", "stop"], texts=texts)]
    assert children[0] is children[2]
    assert [(child.beam.text, child.beam.finish, child.num_copies) for child in node.children] == [
        ("a\n\n", "step", 2),
        ("b\n\n", "step", 1),
        ("a\n\n", "stop", 1),  # the same text, but the solution ends there
    ]
    assert all(child.parent is node for child in node.children)


def test_a_beam_is_worth_its_aggregated_score_and_nothing_if_it_was_cut_off() -> None:
    [first] = judge(grow([ROOT]), [0.4])
    for finish, expected in (("step", 0.8), ("stop", 0.8), ("length", 0.0), ("deadline", 0.0)):
        [beam] = judge(grow([first], [finish]), [0.8])
        assert worth(beam, "last") == expected
    assert worth(judge(grow([first]), [0.8])[0], "min") == 0.4


def test_a_node_has_at_most_n_children_at_a_time() -> None:
    assert [num_children(SearchConfig(n=n, m=4)) for n in (1, 3, 4, 16)] == [1, 3, 4, 4]

"""Workers fit where nodes have room for them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.bench.places import Node, Share, places


@pytest.mark.parametrize(
    ("share", "node", "expected"),
    [
        (Share(), Node("a", "", 8, 0), [(8, 0)]),  # a node to itself
        (Share(), Node("a", "", 0, 0), []),  # such as a head that only looks on
        (Share(cpus=3), Node("a", "", 8, 0), [(3, 0), (3, 0)]),
        (Share(cpus=9), Node("a", "", 8, 0), []),
        (Share(gpus=1), Node("a", "", 8, 4), [(2, 1)] * 4),
        (Share(gpus=1), Node("a", "", 2, 4), [(1, 1)] * 2),  # never less than a CPU
        (Share(gpus=0.5), Node("a", "", 8, 1), [(4, 0.5)] * 2),
        (Share(gpus=0.1), Node("a", "", 16, 0.3), [(5, 0.1)] * 3),
        (Share(cpus=1, gpus=2), Node("a", "", 8, 4), [(1, 2)] * 2),
        (Share(gpus=1), Node("a", "", 8, 0), []),
    ],
)
def test_a_node_holds_as_many_workers_as_its_resources(share: Share, node: Node, expected: list[tuple[int, float]]):
    assert [(place.num_cpus, place.num_gpus) for place in places([node], share)] == expected


def test_every_node_gets_one_before_any_gets_another():
    found = places([Node("a", "", 2, 0), Node("b", "", 1, 0)], Share(cpus=1))
    assert [(place.node.id, place.number) for place in found] == [("a", 0), ("b", 0), ("a", 1)]


@given(
    cpus=st.integers(0, 300),
    gpus=st.integers(0, 16),
    share_cpus=st.none() | st.integers(1, 400),
    share_gpus=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0]),
)
def test_workers_never_have_more_than_their_node(cpus: int, gpus: int, share_cpus: int | None, share_gpus: float):
    found = places([Node("a", "", cpus, gpus)], Share(share_cpus, share_gpus))
    assert sum(place.num_cpus for place in found) <= cpus
    assert sum(place.num_gpus for place in found) <= gpus + 1e-6
    assert all(place.num_cpus >= 1 for place in found)


@pytest.mark.parametrize("parts", [{"cpus": 0}, {"gpus": -1.0}, {"gpus": float("nan")}])
def test_a_share_must_be_one(parts: Any):
    with pytest.raises(ValueError, match="must be >="):
        Share(**parts)

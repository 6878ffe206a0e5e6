"""The built-in verifier: the contract, its arithmetic (against one plain pass), its costs and its errors."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_contract import VerifierContract

from edgesearch.engines.llama_native import NativeModel
from edgesearch.errors import ContextOverflow, EdgesearchError, IntegrityError, ModelNotFound, UsageError
from edgesearch.tasks import arithmetic
from edgesearch.types import Beam, Finish, Prompt, Step
from edgesearch.verifiers import onnx_graph
from edgesearch.verifiers.onnx_graph import OnnxGraph, Past, Row, grouped
from edgesearch.verifiers.onnx_prm import OnnxPrm, score_index

NANO = Path(__file__).parents[2] / "models" / "nano"
MODEL = NANO / "nano-prm-int8.onnx"
DELIMITER, END, NUM_TOKENS = 257, 756, 700
EXACT = 1e-5  # weights are int8 but activations float32: batches change only the order of sums (worst seen 2e-6)


@cache
def vocab_sha256() -> str:
    return OnnxGraph(MODEL, "nano-prm").metadata["edgesearch.vocab_sha256"]


@cache
def solver() -> NativeModel:
    return NativeModel(NANO / "nano-q8_0.gguf", has_extra_buffers=False)


def encode(text: str) -> tuple[int, ...]:
    return tuple(solver().tokenize(text))


def load(path: Path = MODEL, **options: Any) -> OnnxPrm:
    return OnnxPrm(path, name="nano-prm", **{"vocab_sha256": vocab_sha256(), **options})


@pytest.fixture(scope="module")
def prm() -> Iterator[OnnxPrm]:
    verifier = load()
    yield verifier
    verifier.close()


class Counter:
    """Stands before a session and notes the shape of each call."""

    def __init__(self, graph: OnnxGraph, change: Callable[[Any, Any], Any] = lambda feed, outputs: outputs) -> None:
        self.session, self.change, self.shapes = graph._session, change, list[tuple[int, ...]]()
        graph._session = self

    def run(self, names: Sequence[str], feed: dict[str, Any]) -> Any:
        self.shapes.append(feed["input_ids"].shape)
        return self.change(feed, self.session.run(names, feed))


@pytest.fixture
def calls(prm: OnnxPrm) -> Iterator[Counter]:
    counter = Counter(prm._graph)
    yield counter
    prm._graph._session = counter.session


def random_ids(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(rng.choices(range(DELIMITER + 1, NUM_TOKENS), k=count))


def random_step(rng: random.Random, finish: Finish = "step", longest: int = 20) -> Step:
    end = DELIMITER if finish == "step" else END
    return Step("a\n\n" if finish == "step" else "a", (*random_ids(rng, rng.randint(0, longest - 1)), end), 0.0, finish)


def opened(prm: OnnxPrm, rng: random.Random, num_tokens: int = 40) -> tuple[Beam, tuple[int, ...]]:
    prompt, token_ids = Prompt("?"), random_ids(rng, num_tokens)
    prm.open(prompt, token_ids)
    return Beam(prompt), token_ids


def scores_in_one_pass(prm: OnnxPrm, prompt_ids: Sequence[int], beam: Beam) -> tuple[float, ...]:
    """The same scores from one unbatched pass over the whole sequence with no past."""
    ends = itertools.accumulate((len(step.token_ids) for step in beam.steps), initial=len(prompt_ids) - 1)
    token_ids = (*prompt_ids, *(token for step in beam.steps for token in step.token_ids))
    (past,) = prm._graph.read([Row(prm._graph.blank(), token_ids, tuple(ends)[1:])])
    return past.scores


class TestContract(VerifierContract):
    tolerance = EXACT

    @pytest.fixture
    def verifier(self, prm: OnnxPrm, request: pytest.FixtureRequest) -> OnnxPrm:
        return load() if "closed" in request.node.name else prm

    def encode(self, text: str) -> tuple[int, ...]:
        return encode(text)

    def end_of_turn(self) -> tuple[int, ...]:
        return (END,)


@pytest.mark.parametrize("seed", range(6))
def test_a_searched_tree_scores_as_whole_sequences_do(prm: OnnxPrm, seed: int) -> None:
    """Ragged steps, forks, several new steps at once, finished beams and released siblings."""
    rng = random.Random(seed)
    root, prompt_ids = opened(prm, rng, rng.randint(5, 120))
    beams = [root] * 8
    for _ in range(4):
        ends: list[Finish] = [rng.choice(("step", "step", "stop")) for _ in beams]
        grown = [
            beam.grown((*(random_step(rng) for _ in range(rng.randint(0, 2))), random_step(rng, finish)))
            for beam, finish in zip(beams, ends, strict=True)
        ]
        judged = [result.beam for result in prm.judge(grown)]
        for beam in judged:
            assert beam.scores == pytest.approx(scores_in_one_pass(prm, prompt_ids, beam), abs=EXACT)
        alive = [beam for beam in judged if beam.is_alive] or [root]
        kept = rng.sample(alive, (len(alive) + 1) // 2)
        prm.release(beam.node for beam in judged if beam not in kept)
        beams = [rng.choice(kept) for _ in range(8)]


def test_padding_does_not_leak_between_rows(prm: OnnxPrm) -> None:
    rng = random.Random(1)
    graph, pasts = prm._graph, []
    for num_tokens in (3, 90):
        pasts += graph.read([Row(graph.blank(), random_ids(rng, num_tokens), ())])
    rows = [Row(pasts[0], random_ids(rng, 2), (1,)), Row(pasts[1], random_ids(rng, 30), (0, 29))]
    alone = [graph.read([row])[0] for row in rows]
    graph._buffer[:] = 1e6  # what an earlier call may have left in the padding
    for one, both in zip(alone, graph.read(rows), strict=True):
        assert both.scores == pytest.approx(one.scores, abs=EXACT)
        np.testing.assert_allclose(both.chunks[-1], one.chunks[-1], atol=1e-4)
        np.testing.assert_allclose(both.carried[0], one.carried[0], atol=1e-4)


def test_a_right_solution_scores_higher_than_one_with_a_wrong_sum(prm: OnnxPrm) -> None:
    rng = random.Random(5)
    wins = 0
    for _ in range(20):
        sample = arithmetic.generate(rng, level=3, family="story")
        right = [*sample.steps, f"The answer is \\boxed{{{sample.target}}}"]
        before, _, value = right[1].rpartition("=")
        wrong = [right[0], f"{before}={int(value) + rng.choice((-2, -1, 1, 2))}", *right[2:]]
        root = Beam(Prompt(sample.problem))
        prm.open(root.prompt, encode(sample.problem + "\n\n"))
        beams = [root.grown(tuple(Step(t, encode(t + "\n\n"), 0.0, "step") for t in texts)) for texts in (right, wrong)]
        good, bad = (judged.beam.scores[-1] for judged in prm.judge(beams))
        wins += good > bad
    assert wins >= 19


def test_a_judge_call_reads_only_what_is_new(prm: OnnxPrm, calls: Counter) -> None:
    rng = random.Random(2)
    root, _ = opened(prm, rng)
    calls.shapes.clear()
    first = [judged.beam for judged in prm.judge([root.grown((random_step(rng, longest=1),))])]
    second = [beam.grown((Step("a\n\n", (300, 301 + i, DELIMITER), 0.0, "step"),)) for beam in first for i in range(4)]
    assert [judged.verified_tokens for judged in prm.judge(second)] == [3, 3, 3, 3]
    assert calls.shapes == [(1, 1), (4, 3)]


def test_equal_steps_after_the_same_past_are_read_once(prm: OnnxPrm, calls: Counter) -> None:
    rng = random.Random(3)
    root, _ = opened(prm, rng)
    token_ids = (*random_ids(rng, 5), DELIMITER)
    twins = [root.grown((Step("a\n\n", token_ids, 0.0, "step"),)) for _ in range(3)]
    calls.shapes.clear()
    judged = prm.judge(twins)
    assert [one.verified_tokens for one in judged] == [6, 0, 0]
    assert len({one.beam.scores for one in judged}) == 1
    # From then on they are one past, so their equal children are equal work too.
    children = [one.beam.grown((Step("b\n\n", token_ids, 0.0, "step"),)) for one in judged]
    assert [one.verified_tokens for one in prm.judge(children)] == [6, 0, 0]
    assert calls.shapes == [(1, 6), (1, 6)]


def test_a_beam_whose_scores_were_lost_is_not_read_again(prm: OnnxPrm, calls: Counter) -> None:
    rng = random.Random(4)
    beam = opened(prm, rng)[0].grown((random_step(rng), random_step(rng)))
    (judged,) = prm.judge([beam])
    calls.shapes.clear()
    assert prm.judge([beam])[0].beam == judged.beam
    assert not calls.shapes


def test_without_its_parent_a_beam_is_read_from_the_deepest_kept_node(prm: OnnxPrm) -> None:
    rng = random.Random(5)
    root, prompt_ids = opened(prm, rng)
    (parent,) = prm.judge([root.grown((random_step(rng),))])
    prm.release([parent.beam.node])
    (child,) = prm.judge([parent.beam.grown((random_step(rng),))])
    assert child.verified_tokens == child.beam.num_tokens
    assert child.beam.scores == pytest.approx(scores_in_one_pass(prm, prompt_ids, child.beam), abs=EXACT)


def test_nothing_is_kept_for_finished_beams_and_released_nodes() -> None:
    prm, rng = load(), random.Random(6)
    root, _ = opened(prm, rng)
    alive, _ = prm.judge([root.grown((random_step(rng),)), root.grown((random_step(rng, "stop"),))])
    assert set(prm._pasts) == {root.prompt.id, alive.beam.node}
    prm.release([root.prompt.id, alive.beam.node, -1])
    assert not prm._pasts


def test_forks_share_their_past_by_reference(prm: OnnxPrm) -> None:
    rng = random.Random(7)
    root, _ = opened(prm, rng)
    left, right = prm.judge([root.grown((random_step(rng),)) for _ in range(2)])
    pasts = [prm._pasts[node] for node in (root.prompt.id, left.beam.node, right.beam.node)]
    assert pasts[0].chunks[0] is pasts[1].chunks[0] is pasts[2].chunks[0]
    assert pasts[1].chunks[1].base is None  # a copy, so that no call's whole batch is kept alive by one row


def test_the_pace_is_measured_and_then_a_moving_average_per_real_token() -> None:
    ticks = itertools.count()
    prm = load(clock=lambda: float(next(ticks)))  # everything takes one second
    assert prm.seconds_per_token == 1 / (16 * 12)
    root, _ = opened(prm, random.Random(8))
    beams = [root.grown((Step("a\n\n", (300,) * n, 0.0, "step"),)) for n in (2, 8)]
    prm.judge(beams)
    one_stall = 2 / 192  # a sample counts for twice the average at most: 1 s for 10 tokens is far above it
    assert prm.seconds_per_token == pytest.approx(1 / 192 + 0.1 * (one_stall - 1 / 192))


def test_it_loads_without_a_word_and_says_what_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    prm = load()
    assert capfd.readouterr() == ("", "")
    assert prm.info.name == "nano-prm"
    assert prm.info.num_params == 804_865
    assert prm.info.aggregator == "last"
    assert prm.info.attention_flops_per_token_context == 4 * 5 * 128
    providers = prm._graph._session.get_providers()
    assert prm.info.device == ("cuda" if "CUDAExecutionProvider" in providers else "cpu")
    assert prm.max_positions == 512


def test_a_listed_cuda_provider_without_a_device_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", no_driver)
    assert load().info.device == "cpu"


@pytest.mark.parametrize(("num_tokens", "fits"), [(480, True), (481, False)], ids=["just fits", "one token too many"])
def test_a_prompt_must_leave_room_for_a_solution(prm: OnnxPrm, num_tokens: int, fits: bool) -> None:
    prompt, token_ids = Prompt("?"), (300,) * num_tokens
    if fits:
        assert prm.open(prompt, token_ids) == num_tokens
        return
    with pytest.raises(ContextOverflow, match=r"481 tokens.* reads 512, 32 of them"):
        prm.open(prompt, token_ids)


def test_a_beam_longer_than_the_model_reads_is_an_error_with_the_numbers(prm: OnnxPrm) -> None:
    root, _ = opened(prm, random.Random(9), num_tokens=480)
    assert prm.judge([root.grown((Step("a\n\n", (300,) * 32, 0.0, "step"),))])[0].beam.is_judged
    with pytest.raises(ContextOverflow, match=r"513 tokens.* reads 512"):
        prm.judge([root.grown((Step("a\n\n", (300,) * 33, 0.0, "step"),))])


def test_an_engine_that_tells_no_token_ids_is_a_usage_error(prm: OnnxPrm) -> None:
    with pytest.raises(UsageError, match="--verifier consensus"):
        prm.open(Prompt("?"), ())
    root, _ = opened(prm, random.Random(10))
    with pytest.raises(UsageError, match="does not tell them"):
        prm.judge([root.grown((Step("a\n\n", (), 0.0, "step"),))])


def test_a_prompt_that_is_not_open_is_an_error(prm: OnnxPrm) -> None:
    with pytest.raises(ValueError, match="not open"):
        prm.judge([Beam(Prompt("?")).grown((random_step(random.Random(11)),))])


@pytest.mark.parametrize("score", [math.nan, 1.5, -0.1])
def test_a_score_outside_its_range_is_an_error_and_not_a_zero(score: float) -> None:
    prm, rng = load(), random.Random(12)
    root, _ = opened(prm, rng)
    Counter(prm._graph, lambda feed, outputs: [np.full_like(outputs[0], score), *outputs[1:]])
    with pytest.raises(EdgesearchError, match=r"outside \[0, 1\]"):
        prm.judge([root.grown((random_step(rng),))])


def test_a_failure_of_onnx_runtime_is_an_error_of_ours(prm: OnnxPrm) -> None:
    with pytest.raises(EdgesearchError, match="failed in ONNX Runtime"):
        prm.open(Prompt("?"), (10**6,))


def test_a_graph_that_returns_its_past_too_scores_the_same(prm: OnnxPrm) -> None:
    def with_past(feed: dict[str, Any], outputs: list[Any]) -> list[Any]:
        past = [feed[name] for name in lenient._graph._kv_inputs]
        present = [np.concatenate(pair, axis=2) for pair in zip(past, outputs[1 : len(past) + 1], strict=True)]
        return [outputs[0], *present, *outputs[len(past) + 1 :]]

    lenient = load()
    Counter(lenient._graph, with_past)
    scores = []
    for verifier in (prm, lenient):
        rng = random.Random(13)
        beams = [opened(verifier, rng)[0]] * 2
        for _ in range(3):
            beams = [judged.beam for judged in verifier.judge([beam.grown((random_step(rng),)) for beam in beams])]
        scores.append([beam.scores for beam in beams])
    assert scores[0] == scores[1]


def test_a_missing_file_is_model_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no verifier at .*absent\.onnx"):
        load(tmp_path / "absent.onnx")


@pytest.mark.parametrize("num_bytes", [0, 12, 700_000, -9])
def test_a_truncated_model_is_an_integrity_error(
    tmp_path: Path, num_bytes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL.read_bytes()[:num_bytes])
    with pytest.raises(IntegrityError, match=r"model\.onnx is not .*(download it again|export it as)"):
        load(path)
    assert capfd.readouterr() == ("", "")


def test_a_text_file_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("not a model\n")
    with pytest.raises(IntegrityError, match=r"not an ONNX model that can be loaded .* download it again"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        (b"attention_mask", b"attention_mosk", "input attention_mask"),
        (b"past_key_values.4.value", b"past_key_values.4.volue", "input past_key_values.4.value"),
        (b"present.0.key", b"present.0.kex", "output present.0.key"),
        (b"past_key_values", b"gone_key_values", "input past_key_values.0.key"),
        (b"edgesearch.kind\x12\x03prm", b"edgesearch.kind\x12\x03orm", "edgesearch.kind = prm"),
        (b"edgesearch.vocab_sha256", b"edgesearch.vocab_md5sum", "metadata edgesearch.vocab_sha256"),
        (b"edgesearch.max_positions\x12\x03512", b"edgesearch.max_positions\x12\x03all", "a number in"),
    ],
)
def test_a_model_without_the_interface_is_an_integrity_error_that_says_what_it_lacks(
    tmp_path: Path, old: bytes, new: bytes, lacking: str
) -> None:
    assert old in MODEL.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL.read_bytes().replace(old, new))
    with pytest.raises(IntegrityError, match=f"can be run: it lacks .*{lacking}"):
        load(path)


def test_another_vocabulary_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="nano-prm does not fit the solver: its vocabulary differs; use --verifier"):
        load(vocab_sha256="0" * 64)


@pytest.mark.parametrize("name", ["nano", "nano-medium", "nano-large"])
def test_the_built_in_verifier_reads_the_built_in_solvers_vocabulary(name: str) -> None:
    model = NativeModel(NANO / f"{name}-q8_0.gguf", has_extra_buffers=False)
    texts = [model.token_text(token) for token in range(model.vocab_size)]
    model.close()
    assert hashlib.sha256("\0".join(texts).encode()).hexdigest() == vocab_sha256()


@pytest.mark.parametrize(
    ("text", "num_tokens", "num_folded", "finish", "index"),
    [
        ("5 apples\n\n", 4, 0, "step", 3),
        ("The answer is 5", 4, 0, "stop", 3),
        ("5 apples\n\n", 5, 1, "stop", 3),  # the delimiter, not the end of turn folded in after it
        ("5 apples\n\n", 6, 2, "stop", 3),  # nor a blank token before that
        ("5 apples\n\n", 4, 0, "length", 3),  # cut off right after its delimiter
        ("5 apples", 4, 0, "length", 3),
        ("\n\n", 1, 0, "stop", 0),
    ],
)
def test_a_step_is_scored_at_its_last_token_but_never_after_its_delimiter(
    text: str, num_tokens: int, num_folded: int, finish: Finish, index: int
) -> None:
    assert score_index(Step(text, (300,) * num_tokens, 0.0, finish, num_folded=num_folded)) == index


@given(lengths=st.lists(st.tuples(st.integers(1, 600), st.integers(0, 500)), max_size=60))
def test_calls_hold_every_row_once_are_small_and_hardly_padded(lengths: list[tuple[int, int]]) -> None:
    rows = [Row(Past((), past, (), ()), (300,) * new, ()) for new, past in lengths]
    calls = list(grouped(rows, bytes_per_token=2**16))
    assert sorted(map(id, itertools.chain(*calls))) == sorted(map(id, rows))
    for call in (call for call in calls if len(call) > 1):
        new = [len(row.token_ids) for row in call]
        assert len(call) * max(new) <= onnx_graph.MAX_CALL_TOKENS
        assert len(call) * max(new) - sum(new) <= onnx_graph.MAX_CALL_PADDING
        assert len(call) * max(row.past.num_tokens for row in call) * 2**16 <= onnx_graph.MAX_CALL_PAST_BYTES

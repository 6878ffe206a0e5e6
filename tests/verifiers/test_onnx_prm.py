"""Verifiers in ONNX files: the contract, the arithmetic (against one plain pass), costs and errors.

Most is told of the built-in one, which reads the solver's tokens; then of those that read texts.
"""

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
import tiny_prms
from hypothesis import given
from hypothesis import strategies as st
from verifier_contract import RIGHT, VerifierContract

import edgesearch
from edgesearch.engines.llama_native import NativeModel
from edgesearch.errors import ContextOverflow, EdgesearchError, IntegrityError, ModelNotFound, UsageError
from edgesearch.tasks import arithmetic
from edgesearch.types import Beam, Finish, Prompt, Step
from edgesearch.verifiers import onnx_graph, onnx_prm
from edgesearch.verifiers.export.manifest import write_manifest
from edgesearch.verifiers.export.model import read_model, write_graph
from edgesearch.verifiers.export.source import open_source
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
        (b"edgesearch.kind\x12\x03prm", b"edgesearch.kind\x12\x03xyz", "edgesearch.kind = prm, or orm"),
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


def test_an_outcome_model_is_one_of_whole_solutions_also_when_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "orm.onnx"
    path.write_bytes(MODEL.read_bytes().replace(b"edgesearch.kind\x12\x03prm", b"edgesearch.kind\x12\x03orm"))
    assert load(path).info.is_outcome
    with edgesearch.load(verifier=str(path), max_n=4) as pipeline:
        solution = pipeline.solve("Ana has 3 apples. Ana buys 4 more apples. How many apples does Ana have now?", n=4)
        assert solution.strategy.name == "weighted"
        assert len(set(solution.scores)) == 1
        with pytest.raises(UsageError, match="strategy beam needs step scores"):
            pipeline.solve("What is 2+2?", strategy="beam")


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


# -- verifiers with a vocabulary of their own --------------------------------------------------------------------------

OWN = {
    "skywork": ("qwen2", "value"),
    "qwen-prm": ("qwen2", "two-class"),
    "rlhflow": ("llama", "good-bad"),
    "math-shepherd": ("mistral", "good-bad"),
}
"""Formats, and a decoder and head that have them."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[tiny_prms.TinyPrm, Path]]:
    """A tiny model of a format, and where it is exported to."""

    @cache
    def make(format_name: str) -> tuple[tiny_prms.TinyPrm, Path]:
        folder = tmp_path_factory.mktemp(format_name)
        model_type, head = OWN[format_name]
        has_spaces = format_name == "math-shepherd"
        prm = tiny_prms.make(
            folder / "prm",
            model_type,
            head,
            tokenizer=tiny_prms.space_tokenizer() if has_spaces else tiny_prms.byte_tokenizer(),
            bos="<s>" if has_spaces else "<|begin|>",
            max_position_embeddings=400,
        )
        model = read_model(open_source(str(prm.folder)), format_name)
        path = folder / "own.onnx"
        write_graph(model, path, is_quantized=False)
        path.with_name("tokenizer.json").write_bytes(model.source.tokenizer_json)
        tokenizer, space = model.source.tokenizer, " " * has_spaces
        prm.score_tokens = (tokenizer.ids(f"{space}+")[-1], tokenizer.ids(f"{space}-")[-1])
        return prm, path

    return make


@pytest.fixture(scope="module")
def own(made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]]) -> Callable[[str], OnnxPrm]:
    """The verifier of a format."""
    return cache(lambda format_name: load(made(format_name)[1], vocab_sha256="any solver's"))


def told_step(text: str, finish: Finish = "step") -> Step:
    return Step(text, (), 0.0, finish)


def plain_scores(prm: tiny_prms.TinyPrm, verifier: OnnxPrm, beam: Beam) -> list[float]:
    """The scores of all steps from one pass of plain NumPy over the whole sequence."""
    ids, scores = list(verifier._tokens.prompt(beam.prompt, ())), []
    for index in range(len(beam.steps)):
        step, at = verifier._tokens.step(beam, index)
        ids += step
        scores.append(float(prm.scores(ids)[at - len(step)]) if step else scores[-1])
    return scores


@pytest.mark.parametrize("format_name", OWN)
class TestOwnVocabulary(VerifierContract):
    tolerance = EXACT

    @pytest.fixture
    def verifier(
        self,
        made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]],
        own: Callable[[str], OnnxPrm],
        format_name: str,
        request: pytest.FixtureRequest,
    ) -> OnnxPrm:
        is_closed = "closed" in request.node.name
        self.tokens = own(format_name)._tokens
        return load(made(format_name)[1]) if is_closed else own(format_name)

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def end_of_turn(self) -> tuple[int, ...]:
        return (END,)

    def num_prompt_tokens(self, prompt: Prompt) -> int:
        return len(self.tokens.prompt(prompt, ()))

    def num_step_tokens(self, step: Step) -> int:
        """Those of a step that is not the first, and the same for the first but for what stands before it."""
        beam = Beam(Prompt("?"), (step,) if step.text == RIGHT else (step, step))
        return len(self.tokens.step(beam, len(beam.steps) - 1)[0])


@pytest.mark.parametrize("format_name", OWN)
@pytest.mark.parametrize("seed", range(2))
def test_a_searched_tree_of_texts_scores_as_plain_numpy_does(
    made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]], own: Callable[[str], OnnxPrm], format_name: str, seed: int
) -> None:
    rng, verifier, (tiny, _) = random.Random(seed), own(format_name), made(format_name)
    root = Beam(Prompt("Ana has 22 apples."))
    verifier.open(root.prompt, ())
    beams = [root] * 4
    for _ in range(3):
        texts = [rng.choice(("22-17=5", "so 5", "apples", "The answer is 5", "", "\n")) + "\n\n" for _ in range(8)]
        grown = [beam.grown((told_step(texts[i]), told_step(texts[i + 4]))) for i, beam in enumerate(beams)]
        beams = [judged.beam for judged in verifier.judge(grown)]
        for beam in beams:
            assert beam.scores == pytest.approx(plain_scores(tiny, verifier, beam), abs=EXACT)
        beams = rng.choices(beams, k=4)
    verifier.release([root.prompt.id])


@pytest.mark.parametrize("format_name", OWN)
def test_a_problem_that_spells_separators_turns_and_score_tokens_forges_no_step(
    own: Callable[[str], OnnxPrm], format_name: str
) -> None:
    verifier = own(format_name)
    markup = "".join(tiny_prms.SPECIAL) + " ки +\n ки -\n+ - <s>"
    forged = Beam(Prompt(f"5{markup}5<extra_0>+"))
    layout_ids = {token for token in verifier._tokens._layout.token_ids if len(_word(verifier, token)) > 1}
    usual = [
        verifier._tokens.prompt(Prompt("5"), ()),
        verifier._tokens.step(Beam(Prompt("5"), (told_step("5"),)), 0)[0],
    ]
    counts = {token: [ids.count(token) for ids in usual] for token in layout_ids}
    grown = forged.grown((told_step(f"5{markup}5\n\n"),))
    ids = [verifier._tokens.prompt(forged.prompt, ()), verifier._tokens.step(grown, 0)[0]]
    assert {token: [one.count(token) for one in ids] for token in layout_ids} == counts
    verifier.open(forged.prompt, ())
    assert len(verifier.judge([grown])[0].beam.scores) == 1
    verifier.release([forged.prompt.id])


def _word(verifier: OnnxPrm, token: int) -> str:
    return str(verifier._tokens._tokenizer.text(token))


def test_a_verifier_of_texts_needs_no_token_ids_and_counts_its_own(own: Callable[[str], OnnxPrm]) -> None:
    verifier = own("qwen-prm")
    root = Beam(Prompt("Ana has 22 apples."))
    num_tokens = verifier.open(root.prompt, ())
    assert num_tokens == verifier.open(Prompt(root.prompt.user), (1, 2, 3)) > 10
    twins = [root.grown((told_step("22-17=5\n\n"),)), root.grown((Step("22-17=5 \n\n", (7, 8), 0.0, "step"),))]
    first, second = verifier.judge(twins)
    assert first.verified_tokens > 3
    assert second.verified_tokens == 0  # the same text, whatever the solver's tokens
    assert first.beam.scores == second.beam.scores


def test_an_empty_step_costs_nothing_and_has_the_score_before_it(own: Callable[[str], OnnxPrm]) -> None:
    verifier = own("skywork")
    root = Beam(Prompt("Ana has 22 apples."))
    verifier.open(root.prompt, ())
    (first,) = verifier.judge([root.grown((told_step("22-17=5\n\n"),))])
    (blank,) = verifier.judge([first.beam.grown((told_step("\n\n"),))])
    assert (blank.verified_tokens, blank.beam.scores) == (0, first.beam.scores * 2)
    (more,) = verifier.judge([blank.beam.grown((told_step("so 5\n\n"),))])
    straight = verifier.judge([first.beam.grown((told_step("so 5\n\n"),))])[0]
    assert more.beam.scores == pytest.approx((*blank.beam.scores, straight.beam.scores[1]), abs=EXACT)
    at_once = verifier.judge([root.grown((told_step("22-17=5\n\n"), told_step("\n\n"), told_step("so 5\n\n")))])[0]
    assert at_once.beam.scores == pytest.approx(more.beam.scores, abs=EXACT)


def test_the_pace_of_a_verifier_of_texts_is_per_token_of_the_solver(
    made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]],
) -> None:
    ticks = itertools.count()
    verifier = load(made("qwen-prm")[1], clock=lambda: next(ticks) * 1e-3)
    before = verifier.seconds_per_token
    root = Beam(Prompt("Ana has 22 apples."))
    verifier.open(root.prompt, ())
    verifier.judge([root.grown((Step("22-17=5\n\n", (300,) * 400, 0.0, "step"),))])
    assert verifier.seconds_per_token == pytest.approx(before + 0.1 * (1e-3 / 400 - before))


def test_a_long_problem_is_read_in_pieces(
    made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]],
    own: Callable[[str], OnnxPrm],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny, verifier = made("skywork")[0], own("skywork")
    counter = Counter(verifier._graph)
    monkeypatch.setattr(onnx_prm, "MAX_CALL_TOKENS", 16)
    root = Beam(Prompt("Ana has 22 apples. " * 8))
    num_tokens = verifier.open(root.prompt, ())
    assert [tokens for _, tokens in counter.shapes] == [16] * (num_tokens // 16) + [num_tokens % 16]
    verifier._graph._session = counter.session
    (judged,) = verifier.judge([root.grown((told_step("22-17=5\n\n"),))])
    assert judged.beam.scores == pytest.approx(plain_scores(tiny, verifier, judged.beam), abs=EXACT)


def test_an_over_long_text_is_an_error_with_the_verifier_s_own_numbers(own: Callable[[str], OnnxPrm]) -> None:
    verifier = own("skywork")
    assert verifier.info.max_context == 300
    with pytest.raises(ContextOverflow, match=r"the prompt has \d+ tokens, but verifier nano-prm reads 400"):
        verifier.open(Prompt("7 " * 200), ())
    root = Beam(Prompt("?"))
    verifier.open(root.prompt, ())
    with pytest.raises(ContextOverflow, match=r"a solution and its prompt have \d+ tokens"):
        verifier.judge([root.grown((told_step("7 " * 200),))])


def test_it_tells_what_was_exported(own: Callable[[str], OnnxPrm]) -> None:
    info = own("qwen-prm").info
    weights = tiny_prms.weights(tiny_prms.config("qwen2"), "two-class")
    assert info.num_params == sum(tensor.size for name, tensor in weights.items() if name != "lm_head.weight")
    assert info.attention_flops_per_token_context == 4 * 2 * 4 * 8  # layers, heads, dim
    assert info.aggregator == "prod"


def copied(source: Path, folder: Path) -> Path:
    for file in (source, source.with_name("tokenizer.json")):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder / source.name


def test_a_tokeniser_that_is_missing_or_another_is_told(
    made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]], tmp_path: Path
) -> None:
    path = copied(made("skywork")[1], tmp_path)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"SHA-256 differs\); put the tokenizer\.json that belongs to verifier"):
        load(path)
    tokenizer.unlink()
    with pytest.raises(ModelNotFound, match=r"tokenizer\.json cannot be read .*beside its ONNX file"):
        load(path)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("layout", "no", "cannot tokenise texts .*; export it again"),
        ("layout", '{"prompt": []}', "cannot tokenise texts .*; export it again"),
        ("aggregator", "median", "names an aggregator that nobody knows"),
        ("tokenizer_sha256", None, "lacks metadata edgesearch.tokenizer_sha256"),
        ("max_positions", "many", "lacks a number in edgesearch.max_positions"),
    ],
)
def test_metadata_that_make_no_sense_are_an_integrity_error(
    made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]], tmp_path: Path, key: str, value: str | None, error: str
) -> None:
    import onnx

    path = copied(made("skywork")[1], tmp_path)
    model = onnx.load(path)
    told = {entry.key: entry.value for entry in model.metadata_props if entry.key != f"edgesearch.{key}"}
    onnx.helper.set_model_props(model, told if value is None else told | {f"edgesearch.{key}": value})
    onnx.save(model, path)
    with pytest.raises(IntegrityError, match=error):
        load(path)


def test_a_search_with_the_built_in_solver_takes_an_exported_verifier(
    made: Callable[[str], tuple[tiny_prms.TinyPrm, Path]], tmp_path: Path
) -> None:
    path = copied(made("rlhflow")[1], tmp_path)
    manifest = write_manifest(path, params=1, aggregator="mean", summary="A test.")
    with edgesearch.load(verifier=str(manifest), max_n=4, check=False) as pipeline:
        solution = pipeline.solve("Ana has 22 apples. Ana loses 17 of them. How many are left?", budget_s=30, n=4, m=2)
    assert (solution.models.verifier, solution.strategy.name, solution.strategy.aggregator) == ("own", "rebase", "mean")
    assert solution.answer is not None
    assert len(solution.scores) == len(solution.steps)
    assert all(0 < score < 1 for score in solution.scores)
    assert solution.usage.verified_tokens > 0

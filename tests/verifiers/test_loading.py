"""From what `--verifier` says to verifiers: taking it apart, opening every kind, and what cannot be."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nano_parts import MODEL, NANO, nano_engine
from verifier_contract import ENDING, PROBLEM

from edgesearch import catalog
from edgesearch.catalog import SolverSpec
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.errors import EdgesearchError, ModelNotFound, SandboxUnavailable, UsageError
from edgesearch.pipeline import Pipeline
from edgesearch.types import Beam, CodeSpec, Prompt, Step
from edgesearch.verifiers import VERIFIERS, loading, summaries, usages
from edgesearch.verifiers.certainty import KINDS, CertaintyVerifier
from edgesearch.verifiers.consensus import ConsensusVerifier
from edgesearch.verifiers.loading import Loaded, Reference, Setting, load, parse, reads_tokens
from edgesearch.verifiers.onnx_prm import OnnxPrm

EASY = "Ana has 12 apples. Ben has twice as many as Ana. How many apples do Ana and Ben have together?"
NANO_PRM = Reference("nano-prm", "model", "nano-prm")
CERTAINTY = Reference("certainty", "certainty", "mean")


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    loaded = nano_engine()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def spec() -> SolverSpec:
    return catalog.solver("nano")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF with a head of random weights, once with a format beside it and once without, and a program."""
    folder = tmp_path_factory.mktemp("verifiers")
    rng = np.random.default_rng(0)
    for name in ("told", "untold"):
        shutil.copy(NANO / "nano-medium-q8_0.gguf", folder / f"{name}.gguf")
        np.savez(folder / f"{name}.npz", w=rng.normal(0, 0.1, 128).astype(np.float32), b=np.float32(0))
    (folder / "told.toml").write_text('preset = "plain"\n')
    (folder / "check.py").write_text("print('{\"score\": 0.25}')\n")
    return folder


def examples(folder: Path) -> dict[str, str]:
    """What is said for one of each kind."""
    return {
        "model": "nano-prm",
        "format": f"plain:{folder}/untold.gguf",
        "certainty": "certainty:worst",
        "consensus": "consensus",
        "tests": "tests",
        "agreement": "agreement",
        "command": f"command:{shlex.join([sys.executable, str(folder / 'check.py')])}",
        "judge": "judge@0.5:grade:nano-large",
        "outcome": "outcome:nano-prm",
        "product": "product:nano-prm,certainty",
        "sum": "sum:nano-prm=0.7,certainty:entropy=0.3",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", Reference("auto", "auto")),
        ("none", Reference("none", "none")),
        ("consensus", Reference("consensus", "consensus")),
        ("tests", Reference("tests", "tests")),
        ("agreement", Reference("agreement", "agreement")),
        (" nano-prm ", NANO_PRM),
        ("a/b.onnx", Reference("a/b.onnx", "model", "a/b.onnx")),
        (r"C:\models\b.gguf", Reference(r"C:\models\b.gguf", "model", r"C:\models\b.gguf")),
        ("hf:own/er:Q4_0", Reference("hf:own/er:Q4_0", "model", "hf:own/er:Q4_0")),
        ("certainty", CERTAINTY),
        ("certainty:entropy", Reference("certainty:entropy", "certainty", "entropy")),
        ("command:check --mode a:b", Reference("command:check --mode a:b", "command", "check --mode a:b")),
        ("command@0:check", Reference("command@0:check", "command", "check", fallback=0.0)),
        ("judge@.5:grade:nano", Reference("judge@.5:grade:nano", "judge", "grade:nano", fallback=0.5)),
        (
            "rlhflow:hf:own/er:Q4_0",
            Reference("rlhflow:hf:own/er:Q4_0", "format", "rlhflow", (parse("hf:own/er:Q4_0"),)),
        ),
        ("outcome:nano-prm", Reference("outcome:nano-prm", "outcome", parts=(NANO_PRM,))),
        ("outcome:certainty:sum", Reference("outcome:certainty:sum", "outcome", parts=(parse("certainty:sum"),))),
        (
            "product:nano-prm, certainty",
            Reference("product:nano-prm, certainty", "product", parts=(NANO_PRM, CERTAINTY)),
        ),
        (
            "product:hf:own/er:Q4_0,outcome:nano-prm",
            Reference(
                "product:hf:own/er:Q4_0,outcome:nano-prm",
                "product",
                parts=(parse("hf:own/er:Q4_0"), parse("outcome:nano-prm")),
            ),
        ),
        (
            "sum:nano-prm=0.7,certainty=3",
            Reference("sum:nano-prm=0.7,certainty=3", "sum", parts=(NANO_PRM, CERTAINTY), weights=(0.7, 3.0)),
        ),
        (
            "sum:a=b.onnx=1,auto=2",
            Reference("sum:a=b.onnx=1,auto=2", "sum", parts=(parse("a=b.onnx"), parse("auto")), weights=(1.0, 2.0)),
        ),
    ],
)
def test_a_reference_is_taken_apart(text: str, expected: Reference) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none:x", "verifier none takes nothing after its name; leave out ':x'"),
        ("auto:", "verifier auto takes nothing"),
        ("tests:file.py", "verifier tests takes nothing after its name; leave out ':file.py'"),
        ("outcome:agreement", "agreement cannot be a part of outcome:agreement"),
        ("product:tests,agreement", "agreement cannot be a part of product:tests,agreement"),
        ("consensus:majority", "verifier consensus takes nothing"),
        ("certainty:", "certainty has no kind ''; it has mean, sum, worst, entropy, margin"),
        ("certainty:best", "certainty has no kind 'best'"),
        (
            "certanty:mean",
            r"verifiers have no kind 'certanty'; known are .*command.*; did you mean certainty\?",
        ),
        ("x:y", "verifiers have no kind 'x'; known are NAME, PATH.onnx"),
        ("math-shepherd:certainty", "must name a model after its colon, not certainty"),
        ("command:", r"verifier command: lacks what follows the colon; it is command\[@SCORE\]:COMMAND"),
        ("judge: ", "verifier judge: lacks what follows the colon"),
        ("judge@2:nano", r"judge@ takes a score in \[0, 1\], as in judge@0.5:..., not '2'"),
        ("command@:x", r"command@ takes a score in \[0, 1\]"),
        ("command@nan:x", r"command@ takes a score in \[0, 1\]"),
        ("certainty@1:x", "verifiers have no kind 'certainty@1'"),
        ("outcome:", "outcome: lacks a verifier where one should be named"),
        ("outcome:none", "none cannot be a part of outcome:none"),
        ("outcome:outcome:nano-prm", "outcome:nano-prm cannot be a part"),
        ("product:", "product: is made of one verifier"),
        ("product:nano-prm", "product:nano-prm is made of one verifier; give at least two"),
        ("product:nano-prm,", "lacks a verifier where one should be named"),
        ("product:nano-prm,none", "none cannot be a part"),
        ("product:certainty,certainty", "names a verifier twice"),
        ("product:sum:a=1,b=2", "sum:a=1 is made of one verifier"),
        ("product:product:a,b", "product:a is made of one verifier"),
        ("sum:nano-prm,certainty", "needs a weight above 0 for each part, as in sum:nano-prm=0.7,certainty=0.3"),
        ("sum:nano-prm=0,certainty=1", "needs a weight above 0"),
        ("sum:nano-prm=-1,certainty=1", "needs a weight above 0"),
        ("sum:nano-prm=nan,certainty=1", "needs a weight above 0"),
        ("sum:nano-prm=inf,certainty=1", "needs a weight above 0"),
        ("sum:=1,certainty=1", "lacks a verifier where one should be named"),
    ],
)
def test_what_cannot_be_is_one_sentence_that_says_what_can(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text)


def test_there_is_an_example_of_every_kind_here(folder: Path) -> None:
    assert {kind: parse(text).kind for kind, text in examples(folder).items()} == {kind: kind for kind in VERIFIERS}


@pytest.mark.parametrize("kind", VERIFIERS)
def test_every_kind_opens_judges_a_solution_and_closes(
    folder: Path, engine: LlamaCppEngine, spec: SolverSpec, kind: str
) -> None:
    text = examples(folder)[kind]
    try:
        loaded = load(text, spec, engine)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    assert loaded.verifier is not None
    assert loaded.name == loaded.verifier.info.name
    assert loaded.warnings == ()
    prompt = Prompt(PROBLEM, code=CodeSpec(("f",), tests=("assert f() == 1",)))
    try:
        loaded.verifier.open(prompt, engine.open(prompt))
        beam = Beam(prompt).grown((Step(ENDING, (300, 301, 756), -1.0, "stop"),))
        if loaded.verifier.info.needs_certainty:
            with pytest.raises(UsageError, match="--verifier certainty"):
                loaded.verifier.judge([beam])
        else:
            assert 0 <= loaded.verifier.judge([beam])[0].beam.scores[-1] <= 1
    finally:
        engine.release([prompt.id])
        loaded.verifier.close()


@pytest.mark.parametrize("text", ["certainty", "consensus", "product:nano-prm,certainty", "sum:auto=1,certainty:sum=2"])
@pytest.mark.parametrize("strategy", ["beam", "best_of_n", "weighted"])
def test_what_was_loaded_guides_the_real_pipeline(
    engine: LlamaCppEngine, spec: SolverSpec, text: str, strategy: str
) -> None:
    loaded = load(text, spec, engine)
    pipeline = Pipeline(spec, engine, loaded.verifier, text)
    solution = pipeline.solve(EASY, budget_s=30, strategy=strategy, n=8)
    assert loaded.verifier is not None
    loaded.verifier.close()
    assert solution.answer == "36"
    assert len(solution.scores) == len(solution.steps)


def test_the_path_of_a_gguf_with_its_format_beside_it_is_enough(
    folder: Path, engine: LlamaCppEngine, spec: SolverSpec
) -> None:
    loaded = load(str(folder / "told.gguf"), spec, engine)
    assert loaded.name == "told"
    assert loaded.verifier is not None
    loaded.verifier.close()
    with pytest.raises(ModelNotFound, match=r"nothing says how untold.gguf reads a solution"):
        load(str(folder / "untold.gguf"), spec, engine)


def test_a_format_is_of_no_use_to_an_onnx_file(engine: LlamaCppEngine, spec: SolverSpec) -> None:
    with pytest.raises(UsageError, match=r"nano-prm-int8.onnx says itself how it reads a solution; leave plain: out"):
        load(f"plain:{MODEL}", spec, engine)


def test_a_model_that_says_it_scores_whole_solutions_is_not_asked_for_steps(
    engine: LlamaCppEngine, spec: SolverSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Orm(CertaintyVerifier):
        def __init__(self, path: Path, *, name: str, vocab_sha256: str) -> None:
            super().__init__()
            self._info = dataclasses.replace(self._info, name=name, is_outcome=True)

    monkeypatch.setattr("edgesearch.verifiers.onnx_prm.OnnxPrm", Orm)
    assert load("nano-prm", spec, engine).name == "outcome:nano-prm"


def test_auto_is_the_solver_s_own_and_without_one_a_vote_with_a_warning(
    engine: LlamaCppEngine, spec: SolverSpec
) -> None:
    own = load("auto", spec, engine)
    assert (own.name, own.warnings) == ("nano-prm", ())
    assert isinstance(own.verifier, OnnxPrm)
    own.verifier.close()
    lonely = SolverSpec("mine", spec.path)
    fallback = load("auto", lonely, engine)
    assert (fallback.verifier, fallback.name) == (None, "consensus")
    assert "no verifier is known for mine" in fallback.warnings[0]
    with pytest.raises(UsageError, match="no verifier is known for mine; name one in place of auto"):
        load("product:auto,certainty", lonely, engine)


def test_none_is_none_and_consensus_when_asked_for_is_a_verifier(engine: LlamaCppEngine, spec: SolverSpec) -> None:
    assert load("none", spec, engine) == Loaded(None, None)
    assert isinstance(load("consensus", spec, engine).verifier, ConsensusVerifier)


def test_the_name_of_the_solver_means_its_verifier_in_a_combination_too(
    engine: LlamaCppEngine, spec: SolverSpec
) -> None:
    loaded = load("product:nano,certainty", spec, engine)
    assert loaded.verifier is not None
    assert loaded.verifier.info.num_params == 804_865
    loaded.verifier.close()


def test_parts_that_were_opened_are_closed_when_another_cannot_be(
    engine: LlamaCppEngine, spec: SolverSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(OnnxPrm, "close", lambda self: closed.append(self.info.name))
    with pytest.raises(ModelNotFound, match=r"missing\.onnx does not exist"):
        load("product:nano-prm,missing.onnx", spec, engine)
    assert closed == ["nano-prm"]


@pytest.mark.parametrize("text", ["certanty", "nano-prn", ""])
def test_a_name_that_nobody_knows_is_told_with_the_models_and_the_kinds(text: str) -> None:
    with pytest.raises(ModelNotFound, match=r"known are nano-prm, .*certainty\[:KIND\], consensus") as caught:
        loading.find(parse(text))
    hints = {"certanty": "did you mean certainty?", "nano-prn": "did you mean nano-prm?", "": ""}
    assert hints[text] in str(caught.value)


def test_a_path_that_leads_nowhere_is_told_as_a_path() -> None:
    with pytest.raises(ModelNotFound) as caught:
        loading.find(parse("folder/none.onnx"))
    assert "certainty" not in str(caught.value)


def test_who_reads_the_solver_s_tokens_is_known_before_anything_is_loaded(folder: Path, tmp_path: Path) -> None:
    for text in ("auto", "nano-prm", "outcome:nano-prm", "product:certainty,nano-prm", str(MODEL)):
        assert reads_tokens(parse(text)), text
    for text in ("none", "consensus", "certainty:entropy", "command:x", f"{folder}/told.gguf", "plain:hf:a/b"):
        assert not reads_tokens(parse(text)), text
    (tmp_path / "own.onnx").touch()
    (tmp_path / "tokenizer.json").touch()
    assert not reads_tokens(parse(str(tmp_path / "own.onnx")))


def test_every_kind_says_how_it_is_asked_for_in_one_line() -> None:
    assert list(summaries()) == usages()
    for usage, summary in summaries().items():
        assert usage
        assert summary
        assert "\n" not in usage + summary
        assert not summary.endswith(".")
    assert all(parse(f"certainty:{kind}").argument == kind for kind in KINDS)


def test_an_error_while_opening_is_of_this_package(engine: LlamaCppEngine, spec: SolverSpec, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_text("no model")
    with pytest.raises(EdgesearchError, match=r"bad\.onnx"):
        load(f"product:certainty,{tmp_path}/bad.onnx", spec, engine)


def test_a_setting_does_not_own_the_engine(engine: LlamaCppEngine, spec: SolverSpec) -> None:
    loading.open_verifier(parse("nano-prm"), Setting(spec, engine)).close()
    prompt = Prompt("still there?")
    assert engine.open(prompt)
    engine.release([prompt.id])


@pytest.mark.parametrize("kind", ["tests", "agreement"])
def test_the_name_of_a_sandbox_reaches_the_verifiers_that_run_programs(
    engine: LlamaCppEngine, spec: SolverSpec, kind: str
) -> None:
    with pytest.raises(UsageError, match="castle"):
        load(kind, spec, engine, "castle")
    assert load("consensus", spec, engine, "castle").name == "consensus"

"""Verifiers score steps: steps in, scores out. `base.py` is the seam, each other file one kind; this is their registry.

How a kind is asked for is told in loading.py, which opens them.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesearch.errors import UsageError
from edgesearch.verifiers.base import Verifier

if TYPE_CHECKING:
    from edgesearch.catalog import VerifierSpec
    from edgesearch.verifiers.loading import Reference, Setting


_JUDGE_SEQUENCES = 16
_JUDGE_TOKENS = 256
"""Of the question and the problem that a judge reads with each solution, usually."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of verifier."""

    usage: str
    """How it is asked for."""
    summary: str
    """One sentence."""
    open: "Callable[[Reference, Setting], Verifier]"
    """Loads one; imports what it needs only then."""


def _model(reference: "Reference", setting: "Setting") -> Verifier:
    from edgesearch.verifiers.loading import find

    found = find(reference)
    if found.path.suffix.lower() == ".gguf":
        return _gguf(found, setting, None)
    from edgesearch.verifiers.onnx_prm import OnnxPrm
    from edgesearch.verifiers.outcome import OutcomeVerifier

    model = OnnxPrm(found.path, name=found.name, vocab_sha256=setting.engine.info.vocab_sha256)
    return OutcomeVerifier(model) if model.info.is_outcome else model


def _formatted(reference: "Reference", setting: "Setting") -> Verifier:
    from edgesearch.verifiers.loading import find

    found = find(reference.parts[0])
    if found.path.suffix.lower() != ".gguf":
        raise UsageError(f"{found.path} says itself how it reads a solution; leave {reference.argument}: out")
    return _gguf(found, setting, reference.argument)


def _gguf(found: "VerifierSpec", setting: "Setting", format: str | None) -> Verifier:
    from edgesearch.verifiers.llama_prm import load_llama_prm

    num_tokens = setting.usual_tokens
    num_beams = setting.engine.info.max_sequences
    return load_llama_prm(found.path, name=found.name, format=format, max_sequences=num_beams, max_tokens=num_tokens)


def _consensus(reference: "Reference", setting: "Setting") -> Verifier:
    del reference, setting
    from edgesearch.verifiers.consensus import ConsensusVerifier

    return ConsensusVerifier()


def _certainty(reference: "Reference", setting: "Setting") -> Verifier:
    del setting
    from edgesearch.verifiers.certainty import DEFAULT_KIND, CertaintyVerifier

    return CertaintyVerifier(reference.argument or DEFAULT_KIND)


def _tests(reference: "Reference", setting: "Setting") -> Verifier:
    del reference
    from edgesearch.verifiers.unit_tests import UnitTestsVerifier

    return UnitTestsVerifier(sandbox=setting.sandbox)


def _agreement(reference: "Reference", setting: "Setting") -> Verifier:
    del reference
    from edgesearch.verifiers.agreement import AgreementVerifier

    return AgreementVerifier(sandbox=setting.sandbox)


def _judge(reference: "Reference", setting: "Setting") -> Verifier:
    from edgesearch import catalog
    from edgesearch.engines.llama_cpp import LlamaCppEngine
    from edgesearch.verifiers.judge import JudgeVerifier
    from edgesearch.verifiers.judge_question import MODES

    mode, colon, model = reference.argument.partition(":")
    if not colon or mode not in MODES:
        mode, model = next(iter(MODES)), reference.argument
    spec = catalog.solver(model)
    engine = LlamaCppEngine(
        spec.path,
        name=spec.name,
        max_sequences=_JUDGE_SEQUENCES,
        max_tokens=setting.usual_tokens + _JUDGE_TOKENS,
        longest=setting.solver.max_tokens + _JUDGE_TOKENS,
    )
    try:
        return JudgeVerifier(engine, mode=mode, on_failure=reference.fallback)
    except BaseException:
        engine.close()
        raise


def _command(reference: "Reference", setting: "Setting") -> Verifier:
    del setting
    from edgesearch.verifiers.command import CommandVerifier

    return CommandVerifier(reference.argument, on_failure=reference.fallback)


def _outcome(reference: "Reference", setting: "Setting") -> Verifier:
    from edgesearch.verifiers.loading import open_verifier
    from edgesearch.verifiers.outcome import OutcomeVerifier

    return OutcomeVerifier(open_verifier(reference.parts[0], setting))


def _combined(reference: "Reference", setting: "Setting") -> Verifier:
    from edgesearch.verifiers.combined import CombinedVerifier
    from edgesearch.verifiers.loading import open_verifier

    with ExitStack() as opened:
        parts = []
        for part in reference.parts:
            parts.append(open_verifier(part, setting))
            opened.callback(parts[-1].close)
        combined = CombinedVerifier(reference.text, parts, reference.weights or None)
        opened.pop_all()
    return combined


VERIFIERS: dict[str, Kind] = {
    "model": Kind("NAME, PATH.onnx, PATH.gguf, hf:OWNER/NAME", "a model that was trained to score steps", _model),
    "format": Kind("FORMAT:MODEL", "a GGUF that reads a solution in a known format", _formatted),
    "certainty": Kind("certainty[:KIND]", "the solver's own certainty, free", _certainty),
    "consensus": Kind("consensus", "agreement among steps and among answers, free", _consensus),
    "tests": Kind("tests", "for programs: the share of the problem's visible tests that are passed", _tests),
    "agreement": Kind("agreement", "for programs: agreement with tests that the solver writes itself", _agreement),
    "judge": Kind("judge[@SCORE]:[MODE:]SOLVER", "another language model, which is asked for its verdict", _judge),
    "command": Kind("command[@SCORE]:COMMAND", "any program: its exit status, or JSON on its stdout", _command),
    "outcome": Kind("outcome:REF", "another verifier's score of the whole solution only", _outcome),
    "product": Kind("product:REF,REF[,...]", "the product of several verifiers' scores", _combined),
    "sum": Kind("sum:REF=WEIGHT,REF=WEIGHT[,...]", "the weighted sum of several verifiers' scores", _combined),
}


def usages() -> list[str]:
    """How each kind is asked for; without `auto` and `none`, which are choices and no verifiers."""
    return [kind.usage for kind in VERIFIERS.values()]


def summaries() -> dict[str, str]:
    """One sentence for each kind, by how it is asked for."""
    return {kind.usage: kind.summary for kind in VERIFIERS.values()}

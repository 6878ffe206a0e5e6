"""From what `--verifier` says to a verifier: taken apart whole, then opened part by part.

    auto                              the solver's own where one is known, else none, with a warning
    none                              nothing is scored
    consensus, certainty[:KIND]       free: agreement, the solver's own certainty
    tests                             for programs: the problem's visible tests (unit_tests.py)
    agreement                         for programs: tests that the solver writes itself (agreement.py)
    NAME, PATH, hf:OWNER/NAME         a model, as catalog.py finds it
    FORMAT:PATH.gguf, FORMAT:hf:...   a GGUF with nothing beside it that says how it reads a solution (prm_format.py)
    judge:[MODE:]SOLVER               a language model that is asked, named as a solver is (judge.py)
    command:COMMAND                   a program (command.py)
    judge@SCORE:..., command@SCORE:...  either, with the score of solutions on which it fails; else that is an error
    outcome:REF                       one of these as a verifier of whole solutions
    product:REF,REF[,...]             several as one
    sum:REF=WEIGHT,REF=WEIGHT[,...]   several as one, weighted

A kind takes all that follows its first colon, so `outcome:certainty:entropy` and `product:hf:OWNER/NAME:Q4_0,nano-prm`
are what they seem. Every comma ends a part of a combination: a path that holds one cannot be a part.

Not covered: what is in a model's file (the module of its kind), manifests (catalog.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args

from edgesearch import catalog, hub
from edgesearch.catalog import Format, SolverSpec, VerifierSpec
from edgesearch.engines.base import Engine
from edgesearch.errors import ModelNotFound, UsageError
from edgesearch.verifiers import VERIFIERS, usages
from edgesearch.verifiers.base import Verifier
from edgesearch.verifiers.certainty import KINDS
from edgesearch.verifiers.prm_format import PRESETS

AUTO, NONE, MODEL = "auto", "none", "model"
_BARE = (AUTO, NONE, "consensus", "tests", "agreement")
"""Take nothing after a colon."""
_COMBINATIONS = ("product", "sum")
_OF_PROGRAMS = ("tests", "agreement")
"""Run what a solver writes."""
_ALONE = ("agreement",)
"""Can be no part of a combination: what they score is not one solution at a time."""
_SUFFIXES = (".toml", *(f".{name}" for name in get_args(Format)))
_RAW = ("command", "judge")
"""Take all that follows the colon as it is."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What `--verifier` says, taken apart."""

    text: str
    kind: str
    """`auto`, `none`, or a key of `VERIFIERS`."""
    argument: str = ""
    """What follows its colon; empty where that was taken apart."""
    parts: "tuple[Reference, ...]" = ()
    """The references that it is made of."""
    weights: tuple[float, ...] = ()
    """One a part of a weighted sum."""
    fallback: float | None = None
    """The score in [0, 1] where a judge or a program fails; None makes that an error."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Whom a verifier will work for."""

    solver: SolverSpec
    engine: Engine
    """Runs the solver. A verifier may read what it says of itself; it stays its owner's."""
    sandbox: str = "auto"
    """What verifiers try programs in, as in `TrialPool`."""

    @property
    def usual_tokens(self) -> int:
        """Tokens that all but a few solutions stay below; for sizing caches."""
        return min(self.solver.max_tokens, round(1.5 * self.solver.mean_solution_tokens))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a reference led to."""

    verifier: Verifier | None
    """None where nothing scores."""
    name: str | None
    """In reports; `consensus` where votes choose for want of a verifier, None where none was wanted."""
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""


def load(text: str, solver: SolverSpec, engine: Engine, sandbox: str = "auto") -> Loaded:
    """Loads the verifier that a reference means.

    Args:
        text: the reference, as the module says.
        solver: whose drafts it will score.
        engine: what runs the solver.
        sandbox: what programs are tried in, as in `TrialPool`; read only by the kinds that try any.

    Raises:
        EdgesearchError: the reference cannot be used, or a model is not found, damaged or does not fit.
    """
    reference = parse(text)
    if reference.kind == NONE:
        return Loaded(None, None)
    if reference.kind == AUTO and not solver.verifier:
        warning = (
            f"no verifier is known for {solver.name}: the answer is chosen by consensus (majority vote); "
            "name a process reward model for it with --verifier"
        )
        return Loaded(None, "consensus", (warning,))
    verifier = open_verifier(reference, Setting(solver, engine, sandbox))
    return Loaded(verifier, verifier.info.name)


def open_verifier(reference: Reference, setting: Setting) -> Verifier:
    """Opens a verifier; whoever called closes it.

    Raises:
        EdgesearchError: as `load`.
    """
    if reference.kind == AUTO:
        if not setting.solver.verifier:
            raise UsageError(f"no verifier is known for {setting.solver.name}; name one in place of auto")
        reference = parse(setting.solver.verifier)
    return VERIFIERS[reference.kind].open(reference, setting)


def find(reference: Reference) -> VerifierSpec:
    """The file that a model's reference means.

    Raises:
        ModelNotFound: there is none; says what there is.
        EdgesearchError: as `catalog.verifier`.
    """
    try:
        return catalog.verifier(reference.text)
    except ModelNotFound as error:
        if _is_place(reference.text):
            raise
        others = ", ".join(kind.usage for name, kind in VERIFIERS.items() if name != MODEL)
        raise ModelNotFound(f"{error}; other kinds are {others}{_hint(reference.text)}") from error


def reads_tokens(reference: Reference) -> bool:
    """Whether it reads the solver's token ids, and so has to share its vocabulary; for `auto` taken to be so.

    Raises:
        EdgesearchError: as `find`.
    """
    if reference.kind != MODEL:
        return reference.kind == AUTO or any(map(reads_tokens, reference.parts))
    if reference.text.startswith(hub.PREFIX):
        return False  # only GGUFs come from there, which have a vocabulary of their own
    from edgesearch.verifiers.onnx_prm import TOKENIZER_FILE

    path = find(reference).path
    return path.suffix.lower() == ".onnx" and not path.with_name(TOKENIZER_FILE).is_file()


def tries_programs(reference: Reference) -> bool:
    """Whether it runs programs that a solver writes, and so needs a sandbox."""
    return reference.kind in _OF_PROGRAMS or any(map(tries_programs, reference.parts))


def parse(text: str) -> Reference:
    """Takes a reference apart; looks at no file.

    Raises:
        UsageError: there is no such kind, or it is not made like this.
    """
    text = text.strip()
    kind, colon, argument = text.partition(":")
    if kind in _BARE:
        if colon:
            raise UsageError(f"verifier {kind} takes nothing after its name; leave out {colon + argument!r}")
        return Reference(text, kind)
    if kind.partition("@")[0] in _RAW:
        return _raw(text, kind, argument)
    if kind in PRESETS and colon:
        return Reference(text, "format", kind, (_model(text, argument),))
    if kind == "certainty":
        return _certainty(text, argument if colon else KINDS[0])
    if kind == "outcome":
        return Reference(text, kind, parts=(_part(text, argument, ("outcome", *_ALONE)),))
    if kind in _COMBINATIONS:
        return _combination(text, kind, argument)
    if colon and not _is_place(text):
        raise UsageError(f"verifiers have no kind {kind!r}; known are {', '.join(usages())}{_hint(kind)}")
    return Reference(text, MODEL, text)


def _raw(text: str, kind: str, argument: str) -> Reference:
    kind, at, score = kind.partition("@")
    if not argument.strip():
        raise UsageError(f"verifier {text} lacks what follows the colon; it is {VERIFIERS[kind].usage}")
    fallback = _number(score) if at else None
    if fallback is not None and not 0 <= fallback <= 1:
        raise UsageError(f"{kind}@ takes a score in [0, 1], as in {kind}@0.5:..., not {score!r}")
    return Reference(text, kind, argument, fallback=fallback)


def _certainty(text: str, kind: str) -> Reference:
    if kind not in KINDS:
        raise UsageError(f"certainty has no kind {kind!r}; it has {', '.join(KINDS)}, as in certainty:{KINDS[-1]}")
    return Reference(text, "certainty", kind)


def _model(whole: str, text: str) -> Reference:
    model = _part(whole, text, ())
    if model.kind != MODEL:
        raise UsageError(f"{whole} must name a model after its colon, not {text}")
    return model


def _combination(text: str, kind: str, argument: str) -> Reference:
    texts = [part.strip() for part in argument.split(",")]
    weights: tuple[float, ...] = ()
    if kind == "sum":
        pairs = [part.rpartition("=") for part in texts]
        texts = [name.strip() for name, _, _ in pairs]
        weights = tuple(_weight(text, weight) for _, _, weight in pairs)
    if len(texts) < 2:
        raise UsageError(
            f"{text} is made of one verifier; give at least two, with commas in between, or that one alone"
        )
    if len(set(texts)) < len(texts):
        raise UsageError(f"{text} names a verifier twice; name each once")
    refused = (*_COMBINATIONS, *_ALONE)
    return Reference(text, kind, parts=tuple(_part(text, part, refused) for part in texts), weights=weights)


def _part(whole: str, text: str, refused: Sequence[str]) -> Reference:
    part = parse(text)
    if not part.text:
        raise UsageError(f"{whole} lacks a verifier where one should be named; known are {', '.join(usages())}")
    if part.kind in (NONE, *refused):
        raise UsageError(f"{part.text} cannot be a part of {whole}; name a verifier of another kind")
    return part


def _weight(whole: str, text: str) -> float:
    weight = _number(text)
    if not 0 < weight < math.inf:
        raise UsageError(f"{whole} needs a weight above 0 for each part, as in sum:nano-prm=0.7,certainty=0.3")
    return weight


def _number(text: str) -> float:
    """The number that a text spells; NaN, which is in no range, for any other."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_place(text: str) -> bool:
    """Whether it says where a model is, rather than what it is called."""
    return text.startswith(hub.PREFIX) or any(mark in text for mark in "/\\") or text.lower().endswith(_SUFFIXES)


def _hint(kind: str) -> str:
    close = get_close_matches(kind, [name for name in VERIFIERS if name != MODEL], n=1)
    return f"; did you mean {close[0]}?" if close else ""

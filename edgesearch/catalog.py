"""Which model is meant, how to run it and where its file is: manifests -> specs.

A reference is a manifest's name (`nano`), the path of a model file, or `hf:OWNER/NAME` (hub.py). A manifest is a TOML
file of the package `edgesearch_models`, beside the weights that came with it; those are checked against it before use.
An exported verifier's manifest lies elsewhere and is named by its path. A model without a manifest gets settings that
suit instruction-tuned models of 1B to 3B parameters.

Not covered: what is inside a model file (engines/gguf_header.py), verifiers that have no weights (verifiers/).
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from edgesearch import hub, integrity
from edgesearch.errors import IntegrityError, ModelNotFound, UsageError
from edgesearch.types import AGGREGATORS, CHECKS, Sampling

SCHEMA_VERSION = 1
Role = Literal["solver", "verifier"]
Format = Literal["gguf", "onnx"]

GENERIC_SYSTEM_PROMPT = (
    "Solve the problem step by step. Write each step as a paragraph of its own, with a blank line between steps. "
    "Close with a line of exactly this form, your final answer inside the braces: The answer is \\boxed{...}"
)
GENERIC_SAMPLING = Sampling(temperature=0.8, top_k=40, top_p=0.95)
_SUFFIXES = tuple(f".{name}" for name in get_args(Format))
_MANIFEST_SUFFIX = ".toml"
_REPAIR = "reinstall edgesearch: pip install --force-reinstall edgesearch (or export it again, if it is your own)"

_COMMON_KEYS: dict[str, type] = {
    "schema_version": int,
    "name": str,
    "role": str,
    "format": str,
    "file": str,
    "sha256": str,
    "size_bytes": int,
    "params": int,
    "license": str,
    "summary": str,
}
_ROLE_KEYS: Mapping[str, dict[str, type]] = {
    "solver": {
        "system_prompt": str,
        "step_delimiter": str,
        "max_tokens": int,
        "mean_solution_tokens": float,
        "mean_step_tokens": float,
        "temperature": float,
        "top_k": int,
        "top_p": float,
        "min_p": float,
        "verifier": str,
        "domain": str,
        "check": str,
    },
    "verifier": {"aggregator": str},
}
_OPTIONAL_KEYS: Mapping[str, dict[str, type]] = {"solver": {"policy": str}, "verifier": {}}
_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text"}
_SAMPLING_KEYS = ("temperature", "top_k", "top_p", "min_p")


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What a manifest says of a model, whatever its role."""

    name: str
    role: Role
    format: Format
    file: str
    """Relative to the manifest's folder."""
    sha256: str
    size_bytes: int
    params: int
    license: str
    summary: str
    """A sentence."""
    check: str = ""
    """As in `SolverSpec`; empty for a verifier."""

    def __post_init__(self) -> None:
        _require(
            "name", re.fullmatch(r"[a-z0-9]+(?:[-.][a-z0-9]+)*", self.name), self.name, "lowercase words and hyphens"
        )
        _require("role", self.role in get_args(Role), self.role, "solver or verifier")
        formats = ("gguf",) if self.role == "solver" else get_args(Format)
        _require("format", self.format in formats, self.format, " or ".join(formats))
        _require_inside("file", self.file)
        _require("file", self.file.endswith(f".{self.format}"), self.file, f"a .{self.format} file")
        _require("sha256", re.fullmatch(r"[0-9a-f]{64}", self.sha256), self.sha256, "64 lowercase hexadecimal digits")
        _require("size_bytes", self.size_bytes > 0, self.size_bytes, "> 0")
        _require("params", self.params > 0, self.params, "> 0")
        _require_check(self.check)


@dataclass(frozen=True, slots=True)
class SolverSpec:
    """A solver's file and how to run it."""

    name: str
    path: Path
    system_prompt: str = GENERIC_SYSTEM_PROMPT
    """Empty for none."""
    step_delimiter: str = "\n\n"
    max_tokens: int = 1024
    """Longest solution."""
    mean_solution_tokens: float = 350.0
    """What the planner expects."""
    mean_step_tokens: float = 45.0
    sampling: Sampling = GENERIC_SAMPLING
    verifier: str = ""
    """Reference of the verifier that was trained for it; empty when none is known."""
    domain: str = ""
    """The only kind of problem it knows, such as `arithmetic`; empty for a general model."""
    check: str = ""
    """The exact check of answers to its problems (verifiers/checks.py); empty for none."""
    is_builtin: bool = False
    policy: Path | None = None
    """File of the policy that came with it (planner/policy.py); not read here, and it may be missing."""

    def __post_init__(self) -> None:
        _require("step_delimiter", self.step_delimiter, self.step_delimiter, "not empty")
        _require("max_tokens", self.max_tokens >= 1, self.max_tokens, ">= 1")
        _require("mean_solution_tokens", self.mean_solution_tokens > 0, self.mean_solution_tokens, "> 0")
        _require("mean_step_tokens", self.mean_step_tokens > 0, self.mean_step_tokens, "> 0")
        _require_check(self.check)


@dataclass(frozen=True, slots=True)
class VerifierSpec:
    """A verifier's file and how to read its scores."""

    name: str
    path: Path
    aggregator: str = "last"
    """last, min, prod or mean: how it was trained to be summed up."""
    is_builtin: bool = False

    def __post_init__(self) -> None:
        _require("aggregator", self.aggregator in AGGREGATORS, self.aggregator, ", ".join(AGGREGATORS))


def solver(reference: str, *, directory: Path | None = None) -> SolverSpec:
    """The solver that a reference means; its file is there, and verified where its maker published a checksum.

    Args:
        reference: a manifest's name, the path of a .gguf file, or `hf:OWNER/NAME[@REVISION][:QUANTISATION|:FILE]`.
        directory: folder of manifests; those that came with edgesearch by default.

    Raises:
        ModelNotFound: no such name, file or repository; names what there is.
        UsageError: the reference cannot mean a solver.
        IntegrityError: the file, or its manifest, is damaged.
        EndpointError: the hub wants credentials, or failed.
    """
    found = _find(reference, "solver", directory)
    if isinstance(found, Path):
        return SolverSpec(found.stem, found)
    settings = dict(found.settings)
    with _blaming(found.path):
        sampling = Sampling(**{key: settings.pop(key) for key in _SAMPLING_KEYS})
        policy = settings.pop("policy", None)
        if policy is not None:
            _require_inside("policy", policy)
            settings["policy"] = found.path.parent / policy
        return SolverSpec(found.summary.name, found.weights, sampling=sampling, is_builtin=True, **settings)


def verifier(reference: str, *, directory: Path | None = None) -> VerifierSpec:
    """The verifier that a reference means; as `solver`, and the path may be that of an .onnx file or a manifest.

    The name of a solver means the verifier that was trained for it.

    Raises:
        ModelNotFound, UsageError, IntegrityError, EndpointError: as `solver`.
    """
    of_solver = _verifier_of(reference, directory)
    found = _find(of_solver or reference, "verifier", directory)
    if isinstance(found, Path):
        return VerifierSpec(found.stem, found)
    with _blaming(found.path):
        is_builtin = not _is_manifest(reference)
        return VerifierSpec(found.summary.name, found.weights, is_builtin=is_builtin, **found.settings)


def _verifier_of(reference: str, directory: Path | None) -> str:
    """The verifier named in a solver's manifest; empty where the reference is not a solver's name."""
    path = _manifests(directory).get(reference)
    return "" if path is None else str(_load(path).settings.get("verifier", ""))


def known(*, directory: Path | None = None) -> list[ModelSummary]:
    """All models that have a manifest, by name.

    Raises:
        IntegrityError: a manifest is damaged.
    """
    return [_load(path).summary for _, path in sorted(_manifests(directory).items())]


@dataclass(frozen=True, slots=True)
class _Manifest:
    """A manifest as read: keys and types are right."""

    path: Path
    summary: ModelSummary
    settings: Mapping[str, Any]
    """The keys of its role."""

    @property
    def weights(self) -> Path:
        return self.path.parent / self.summary.file


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turns a value that is out of range into an error that names the manifest."""
    try:
        yield
    except ValueError as error:
        raise IntegrityError(f"{path}: {error}; {_REPAIR}") from error


def _find(reference: str, role: Role, directory: Path | None) -> _Manifest | Path:
    """The verified manifest of that name or file; the file itself where it has none."""
    if reference.startswith(hub.PREFIX):
        return hub.fetch(reference)
    manifests = _manifests(directory)
    if reference in manifests:
        manifest = _load(manifests[reference])
    elif role == "verifier" and _is_manifest(reference):
        manifest = _load(_existing(Path(reference).expanduser(), _MANIFEST_SUFFIX))
    elif _looks_like_path(reference):
        path = _model_file(reference, role)
        of_path = _manifest_of(path, manifests)
        if of_path is None:
            return path
        manifest = of_path
    else:
        raise _unknown(reference, role, manifests)
    summary = manifest.summary
    if summary.role != role:
        raise UsageError(f"{summary.name} is a {summary.role}, not a {role}; `edgesearch info` lists both")
    integrity.verify(manifest.weights, size_bytes=summary.size_bytes, sha256=summary.sha256, repair=_REPAIR)
    return manifest


def _manifests(directory: Path | None) -> dict[str, Path]:
    """Manifest files by name; none where the package with the models is not installed."""
    if directory is None:
        try:
            directory = Path(str(resources.files("edgesearch_models")))
        except ModuleNotFoundError:
            return {}
    return {path.stem: path for path in directory.glob("*.toml")}


def _load(path: Path) -> _Manifest:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} is not a readable manifest ({error}); {_REPAIR}") from error
    problem = _problem(table, path.stem)
    if problem:
        raise IntegrityError(f"{path}: {problem}; {_REPAIR}")
    role_keys = _ROLE_KEYS[table["role"]] | _OPTIONAL_KEYS[table["role"]]
    common = {key: value for key, value in table.items() if key not in role_keys and key != "schema_version"}
    with _blaming(path):
        summary = ModelSummary(**common, check=table.get("check", ""))
    return _Manifest(path, summary, {key: kind(table[key]) for key, kind in role_keys.items() if key in table})


def _problem(table: Mapping[str, Any], name: str) -> str:
    """What is wrong with a manifest's keys and their types; empty if nothing."""
    if table.get("schema_version") != SCHEMA_VERSION:
        return f"schema_version must be {SCHEMA_VERSION}, not {table.get('schema_version')!r}"
    if table.get("name") != name:
        return f"name must be the file's, {name!r}, not {table.get('name')!r}"
    if table.get("role") not in _ROLE_KEYS:
        return f"role must be solver or verifier, not {table.get('role')!r}"
    types = _COMMON_KEYS | _ROLE_KEYS[table["role"]]
    types |= {key: kind for key, kind in _OPTIONAL_KEYS[table["role"]].items() if key in table}
    for key in sorted(types.keys() ^ table.keys()):
        return f"the key {key!r} is {'missing' if key in types else 'unknown'}"
    for key, wanted in types.items():
        if type(table[key]) not in ((int, float) if wanted is float else (wanted,)):
            return f"{key} must be {_TYPE_NAMES[wanted]}, not {table[key]!r}"
    return ""


def _is_manifest(reference: str) -> bool:
    """Whether it is the path of a manifest."""
    return reference.lower().endswith(_MANIFEST_SUFFIX)


def _looks_like_path(reference: str) -> bool:
    separators = [separator for separator in (os.sep, os.altsep, "/") if separator]
    has_separator = any(separator in reference for separator in separators)
    return has_separator or reference.lower().endswith(_SUFFIXES) or os.path.exists(reference)


def _model_file(reference: str, role: Role) -> Path:
    suffixes = _SUFFIXES if role == "verifier" else (".gguf",)
    path = _existing(Path(reference).expanduser(), " or ".join(suffixes))
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path} cannot be a {role}: give a {' or '.join(suffixes)} file")
    return path


def _existing(path: Path, kind: str) -> Path:
    if not path.is_file():
        problem = "is a directory" if path.is_dir() else "does not exist"
        raise ModelNotFound(f"{path} {problem}; give the path of a {kind} file")
    return path


def _manifest_of(path: Path, manifests: Mapping[str, Path]) -> _Manifest | None:
    """The manifest whose weights these are."""
    nearby = [file for file in manifests.values() if path.resolve().is_relative_to(file.resolve().parent)]
    loaded = (_load(file) for file in nearby)
    return next((manifest for manifest in loaded if manifest.weights.resolve() == path.resolve()), None)


def _unknown(reference: str, role: Role, manifests: Mapping[str, Path]) -> ModelNotFound:
    names = [name for name, path in sorted(manifests.items()) if _load(path).summary.role == role]
    close = difflib.get_close_matches(reference, names, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    if names:
        there = f"known are {', '.join(names)}"
    else:
        there = f"the built-in models are not installed ({_REPAIR})"
    return ModelNotFound(f"no {role} is named {reference!r}; {there}, or give a file's path or hf:OWNER/NAME{hint}")


def _require_inside(field: str, file: str) -> None:
    is_inside = all(re.fullmatch(r"\w[\w.-]*", part) for part in file.split("/")) and ".." not in file
    _require(field, is_inside, file, "a path below the manifest's folder")


def _require_check(name: str) -> None:
    _require("check", name in ("", *CHECKS), name, f"empty or one of {', '.join(CHECKS)}")


def _require(field: str, is_valid: object, value: object, allowed: str) -> None:
    if not is_valid:
        raise ValueError(f"{field} must be {allowed}, not {value!r}")

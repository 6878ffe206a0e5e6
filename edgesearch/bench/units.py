"""What a run has to do: a recipe and its task -> cells, units with their keys, groups of cells that share an engine.

Everything that can be found out before the first solve is: models are resolved and hashed, the task is loaded, recorded
samples are read. So a wrong name, a missing file or an impossible cell is told before any time is spent.

A unit is one sample in one cell. A group is the cells that share one loaded engine: of the same engine, width and
length. An engine is loaded as wide as its cells need and no wider, so that a cell's memory is its own, and a unit's
result does not depend on which other cells its recipe has.

Not covered: solving (runner.py, worker.py), what is kept (store.py).
"""

import dataclasses
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from edgesearch import catalog, tasks
from edgesearch.bench import energy, recorded
from edgesearch.bench.messages import Load
from edgesearch.bench.recipe import (
    Cell,
    EndpointEngine,
    Engine,
    GgufEngine,
    Recipe,
    SamplesEngine,
    TaskSpec,
    expand,
    settings_digest,
    unit_key,
)
from edgesearch.bench.recorded import Recording
from edgesearch.bench.records import RunInfo
from edgesearch.catalog import SolverSpec
from edgesearch.errors import IntegrityError, ModelNotFound, UsageError
from edgesearch.shared import width_for
from edgesearch.tasks.base import Sample, Task
from edgesearch.verifiers import loading
from edgesearch.verifiers.loading import Reference

_PACKAGES = ("edgesearch", "llama-cpp-python", "math-verify", "numpy", "onnxruntime", "onnxruntime-gpu")
_NO_WEIGHTS = ("none", "consensus")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that results depend on, as it was when the run was planned."""

    path: Path
    sha256: str
    state: tuple[int, int, int]
    """Size, modification time and inode: a file whose state is the same is not read again."""

    @classmethod
    def of(cls, path: Path) -> "ModelFile":
        """Reads it.

        Raises:
            ModelNotFound: it cannot be read.
        """
        try:
            return cls(path, _sha256(path), _state(path))
        except OSError as error:
            raise ModelNotFound(f"{path} cannot be read ({error.strerror}); check the path") from error

    def check(self) -> None:
        """Whether it still is what it was.

        Raises:
            IntegrityError: it has changed.
            ModelNotFound: it cannot be read any more.
        """
        try:
            is_same = _state(self.path) == self.state or _sha256(self.path) == self.sha256
        except OSError as error:
            raise ModelNotFound(f"{self.path} cannot be read any more ({error.strerror}); put it back") from error
        if not is_same:
            raise IntegrityError(f"{self.path} changed while the run was under way; put the old file back to go on")


@dataclass(frozen=True, slots=True)
class Source:
    """An engine of the recipe, resolved."""

    engine: Engine
    digests: Mapping[str, str] = field(hash=False)
    """By role: what results depend on."""
    files: tuple[ModelFile, ...] = ()
    recording: Recording | None = field(default=None, hash=False)
    """Of an engine of the kind samples."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One sample in one cell."""

    key: str
    cell: Cell
    sample: Sample


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that share one loaded engine."""

    source: Source
    cells: tuple[Cell, ...]
    """In the order of the recipe; all of one width and length."""
    sandbox: str = "auto"
    """What programs are tried in by a verifier that tries any."""

    @property
    def concurrent(self) -> int:
        """Units that share its engine at a time."""
        engine = self.source.engine
        return engine.concurrent if isinstance(engine, GgufEngine) else 1

    @property
    def load(self) -> Load:
        """What to load for it.

        Raises:
            UsageError: recorded samples are not loaded in a worker.
        """
        engine, cell = self.source.engine, self.cells[0]
        if isinstance(engine, SamplesEngine):
            raise UsageError(f"engine {engine.id!r} holds recorded samples; there is nothing to load")
        return Load(engine, cell.n, cell.max_tokens, self.sandbox)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has to do."""

    recipe: Recipe
    task: Task
    cells: tuple[Cell, ...]
    """In the order of the recipe."""
    sources: Mapping[str, Source] = field(hash=False)
    """By the id of the engine; those that a cell uses."""
    groups: tuple[Group, ...]
    """In the order in which the recipe first needs each."""
    warnings: tuple[str, ...] = ()
    plan_s: float = 0.0
    """Seconds that planning took."""
    sandbox: str = "auto"
    """What programs are run in, as in `TrialPool`."""

    @property
    def num_units(self) -> int:
        """Of all cells."""
        return len(self.cells) * len(self.task.samples)

    @property
    def task_words(self) -> str:
        """The task for people."""
        return f"{self.task.name} ({self.task.split}), {len(self.task.samples):,} samples"

    def units(self, group: Group, done: Set[str] = frozenset()) -> Iterator[Unit]:
        """The units of a group whose keys are not among the done ones: cell after cell, in the order of the samples."""
        digests = group.source.digests
        for cell in group.cells:
            for sample in self.task.samples:
                key = unit_key(self.task.digest, digests, cell, sample.id, sample.problem.text)
                if key not in done:
                    yield Unit(key, cell, sample)

    def run_info(self) -> RunInfo:
        """What the store is told."""
        digests = {
            f"{name}/{role}": digest
            for name, source in sorted(self.sources.items())
            for role, digest in sorted(source.digests.items())
        }
        return RunInfo(self.recipe.text, self.task.digest, digests, self.cells, versions(), machine())


def make_plan(recipe: Recipe, *, limit: int | None = None, sandbox: str = "auto") -> Plan:
    """Finds out all that a run needs, but for the sandbox, which is found when the run begins.

    Args:
        recipe: what to run.
        limit: at most so many samples, in place of the recipe's own limit.
        sandbox: what programs are run in, as in `TrialPool`.

    Raises:
        UsageError: a cell, an option or a file of samples cannot be used.
        ModelNotFound: a model or the data are not there.
        IntegrityError: a model or the data are damaged.
        EdgesearchError: an extra is missing (holds the pip command).
    """
    started = time.monotonic()
    expansion = expand(recipe)
    used = dict.fromkeys(cell.engine for cell in expansion.cells)
    sources = {name: resolve(recipe.engine(name)) for name in used}
    for cell in expansion.cells:
        _check_width(cell, sources[cell.engine].engine)
    task = _load_task(recipe.task, limit)
    for name, source in sources.items():
        if source.recording is not None:
            source.recording.check(task, [cell for cell in expansion.cells if cell.engine == name])
    groups = _groups(expansion.cells, sources, sandbox)
    plan_s = time.monotonic() - started
    return Plan(recipe, task, expansion.cells, sources, groups, expansion.warnings, plan_s, sandbox)


def _groups(cells: Sequence[Cell], sources: Mapping[str, Source], sandbox: str) -> tuple[Group, ...]:
    found: dict[tuple[str, int, int | None], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.engine, cell.n, cell.max_tokens), []).append(cell)
    return tuple(Group(sources[name], tuple(group), sandbox) for (name, _, _), group in found.items())


def _load_task(spec: TaskSpec, limit: int | None) -> Task:
    if limit is not None:
        spec = dataclasses.replace(spec, limit=limit)
    task = tasks.load(spec.name, data=spec.data, split=spec.split, limit=spec.limit, seed=spec.seed, prompt=spec.prompt)
    if spec.grader is not None and spec.grader != task.grader:
        raise UsageError(f"the recipe expects the grader {spec.grader!r}, but task {task.name} has {task.grader!r}")
    return task


def _check_width(cell: Cell, engine: Engine) -> None:
    if not isinstance(engine, GgufEngine):
        return
    from edgesearch.engines.llama_native import MAX_SEQUENCES

    most = MAX_SEQUENCES - 6  # as LlamaCppEngine has it
    if width_for(cell.n, engine.concurrent) > most:
        beside = f", and {engine.concurrent} problems share it (concurrent)" if engine.concurrent > 1 else ""
        raise UsageError(f"cell {cell.name}: a model in this process has at most n={most}{beside}; use a smaller n")


# ----------------------------------------------------------------------------------------------------------- sources


def resolve(engine: Engine) -> Source:
    """What an engine of a recipe is on this machine; reads every file that its results depend on.

    Raises:
        UsageError, ModelNotFound, IntegrityError: as `make_plan`.
    """
    match engine:
        case GgufEngine():
            return _gguf(engine)
        case EndpointEngine():
            return _endpoint(engine)
        case SamplesEngine():
            return _samples(engine)


def _gguf(engine: GgufEngine) -> Source:
    spec = catalog.solver(engine.solver)
    solver = ModelFile.of(spec.path)
    own = {"solver": solver.sha256, "manifest": _spec_digest(spec), "settings": settings_digest(engine)}
    digests, files = _verifier(engine.verifier, spec)
    return Source(engine, own | digests, (solver, *files))


def _endpoint(engine: EndpointEngine) -> Source:
    own, files = {"settings": settings_digest(engine)}, []
    spec = catalog.solver(engine.like) if engine.like is not None else None
    if spec is not None:  # its prompt, template and vocabulary are used, and its weights are not
        files.append(ModelFile.of(spec.path))
        own |= {"like": files[-1].sha256, "manifest": _spec_digest(spec)}
    if engine.template_file is not None:
        files.append(ModelFile.of(engine.template_file))
        own["template"] = files[-1].sha256
    digests, verifier_files = _verifier(engine.verifier, spec)
    return Source(engine, own | digests, (*files, *verifier_files))


def _samples(engine: SamplesEngine) -> Source:
    recording = recorded.read(engine)
    file = ModelFile.of(engine.file)
    digests = {"samples": file.sha256, "settings": settings_digest(engine), "verifier": engine.verifier}
    return Source(engine, digests, (file,), recording)


def _verifier(reference: str, solver: SolverSpec | None) -> tuple[dict[str, str], tuple[ModelFile, ...]]:
    if reference == "auto":
        reference = (solver.verifier if solver is not None else "") or "consensus"
    if reference in _NO_WEIGHTS:
        return {"verifier": reference}, ()
    digest, files = _scores(loading.parse(reference), solver)
    return {"verifier": digest}, files


def _scores(reference: Reference, solver: SolverSpec | None) -> tuple[str, tuple[ModelFile, ...]]:
    """What the scores of a verifier depend on: how it is made up of which files, wherever they are."""
    if reference.kind == loading.AUTO:
        reference = loading.parse((solver.verifier if solver is not None else "") or "consensus")
    if reference.kind == loading.MODEL:
        spec = loading.find(reference)
        file = ModelFile.of(spec.path)
        return f"{file.sha256} {spec.aggregator}", (file,)
    parts = [_scores(part, solver) for part in reference.parts]
    digests = [digest for digest, _ in parts]
    words = (reference.kind, reference.argument, *digests, *map(str, reference.weights))
    return " ".join(filter(None, words)), tuple(file for _, files in parts for file in files)


def _spec_digest(spec: SolverSpec) -> str:
    """How a solver is run: what its manifest says, without its name and place."""
    fields = dataclasses.asdict(spec)
    content = {name: fields[name] for name in fields if name not in ("name", "path", "is_builtin", "policy")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


# ----------------------------------------------------------------------------------------------------- for the store


def versions() -> dict[str, str]:
    """Of Python and of the packages that results may depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """What this session runs on."""
    import psutil

    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": str(os.cpu_count()),
        "memory_bytes": str(psutil.virtual_memory().total),
        "energy": energy.find().description,
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())

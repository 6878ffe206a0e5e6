"""Recipes: a TOML file that says what a run solves, with which engines, and by which grid of strategies.

    name = "small against large"
    seeds = [0, 1, 2]

    [task]
    name = "arithmetic"
    limit = 500

    [[engines]]
    id = "small"
    kind = "gguf"
    solver = "nano"

    [[grid]]
    engines = "small"
    strategy = ["greedy", "beam"]
    n = [1, 4, 16]
    budget_s = 2.0

`load` reads it into a frozen `Recipe`; `expand` makes its cells: the product of every axis of a `[[grid]]` entry and of
the seeds, in the order written. What would be the same work twice is one cell, and said. Anything that is not known or
out of range is an error that names the file, the table, the entry and the key, before anything is run.

A cell's key and a unit's key are made of content alone, so that they are the same in every process and on every
machine.

Not covered: whether a task, a model or a file is there (the runner finds out, before it solves), running (runner.py),
what is kept (store.py).
"""

import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgesearch import search, tasks
from edgesearch.bench import toml_tables
from edgesearch.bench.toml_tables import (
    TYPE_NAMES,
    Place,
    as_float,
    check_keys,
    check_known,
    entries,
    is_a,
    read_text,
    require,
    require_known,
    shown,
    unknown,
)
from edgesearch.budget import MAX_BUDGET_S
from edgesearch.errors import UsageError
from edgesearch.search.base import SearchConfig
from edgesearch.types import AGGREGATORS, Sampling

if TYPE_CHECKING:
    from edgesearch.engines.openai_protocol import Mode

DEFAULT_M = 4
"""Children per kept beam, as in `Pipeline.solve`."""
MAX_CELLS = 10_000
"""Most cells of a recipe, before the same work is joined; more is a slip of the pen."""
MAX_SEED = 2**63 - 1

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AUTO = "auto"
_NO_SCORES = ("none", "consensus")
"""Verifiers that have no weights and give no scores."""
_BY_TRIALS = ("tests", "agreement")
"""Verifiers that run programs, and read no tokens."""
_TEMPLATE_END = ".jinja"
_RECORDED = ("greedy", "sample", "majority", "best_of_n", "weighted")
"""Strategies that need nothing drawn: the recorded samples are the candidates."""
_FORCED = ("budget_forcing",)
"""Strategies that write for the solver in the middle of its turn."""


# ------------------------------------------------------------------------------------------------ what a recipe says


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Which samples are solved; the options of `edgesearch.tasks.load`."""

    name: str
    """One of `edgesearch.tasks.names()`."""
    split: str | None = None
    limit: int | None = None
    """At most so many samples; None for all."""
    data: Path | None = None
    """A local file; in the recipe its path is relative to the recipe."""
    prompt: str | None = None
    grader: str | None = None
    """The grader that is expected; None for the task's own."""
    seed: int = 0
    """Of the choice of samples, or of the generator."""

    def __post_init__(self) -> None:
        require_known("name", self.name, tasks.names())
        for name in ("split", "prompt", "grader"):
            value = getattr(self, name)
            require(name, value is None or value.strip(), value, "not empty; leave it out for the task's own")
        require("limit", self.limit is None or self.limit >= 1, self.limit, ">= 1; leave it out for all samples")
        require("seed", 0 <= self.seed <= MAX_SEED, self.seed, f"in [0, {MAX_SEED}]")


@dataclass(frozen=True, slots=True)
class GgufEngine:
    """A solver in this process."""

    kind: ClassVar[str] = "gguf"
    id: str
    """Names the engine within the recipe."""
    solver: str
    """As for `--model`: a name, a path or `hf:OWNER/NAME`."""
    verifier: str = "auto"
    """As for `--verifier`: auto, none, consensus, a name, a path, or a kind such as certainty or product:A,B."""
    threads: int | None = None
    """That decode; None to choose from the machine."""
    check: bool = True
    """Whether answers go through the exact check that the solver's manifest names."""
    concurrent: int = 1
    """Problems that share it at a time; above 1 the seconds of each are those of an engine that others use as well."""

    def __post_init__(self) -> None:
        _require_id(self.id)
        require("concurrent", self.concurrent >= 1, self.concurrent, ">= 1")
        require("solver", self.solver.strip(), self.solver, "a name, a path or hf:OWNER/NAME")
        require("verifier", self.verifier.strip(), self.verifier, "auto, none, consensus, a name or a path")
        require("threads", self.threads is None or self.threads >= 1, self.threads, ">= 1")

    @property
    def settings(self) -> dict[str, Any]:
        """What changes its results beside the content of its files."""
        settings = {"threads": self.threads, "check": self.check, "verifier": _verifier_word(self.verifier)}
        if self.concurrent == 1:  # so that units have the keys of stores from before there was such a field
            return settings
        return {**settings, "concurrent": self.concurrent}


@dataclass(frozen=True, slots=True)
class EndpointEngine:
    """A solver behind an OpenAI-compatible server; the options of `edgesearch.load_endpoint`."""

    kind: ClassVar[str] = "endpoint"
    id: str
    """Names the engine within the recipe."""
    url: str
    """Of the API, such as http://127.0.0.1:8000/v1."""
    model: str
    """The server's name for it."""
    api_key_env: str | None = None
    """The environment variable that holds the key; the key itself is never in a recipe."""
    concurrency: int = 8
    """Most requests under way together."""
    verifier: str = "none"
    """Runs here: none, consensus, tests or agreement for programs, and with `like` auto, a name or a path."""
    like: str | None = None
    """A local solver, as for `--model`, that is the same model: its prompt, chat template and vocabulary apply."""
    mode: "Mode" = "completions"
    """completions, or chat for strategies that draw whole solutions."""
    template: str | None = None
    """Of the turns: a name, or the path of a .jinja file; None for that of `like`, or plain text."""
    choices_per_request: int = 1
    """Drafts of one beam that share a request; above 1 the server's own draws tell them apart."""
    timeout_s: float = 120.0
    """Of one request; a deadline may end it sooner."""
    params: int | None = None
    """How many the model has, for counting FLOPs; None for what `like` or the server says, else 0 are counted."""
    check: bool = True
    """Whether answers go through the exact check that the manifest of `like` names."""

    def __post_init__(self) -> None:
        from edgesearch.engines.http_client import HttpConfig, parse_url
        from edgesearch.engines.openai_api import EndpointConfig

        _require_id(self.id)
        parse_url(self.url)
        require("model", self.model.strip(), self.model, "the server's name for the model")
        EndpointConfig(self.mode, self.concurrency, choices_per_request=self.choices_per_request)
        HttpConfig(timeout_s=self.timeout_s)
        require("params", self.params is None or self.params >= 1, self.params, ">= 1; leave it out if unknown")
        self._check_verifier()
        self._check_template()
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            raise ValueError(  # what stands there may be the key, so it is not repeated
                "api_key_env must be the name of an environment variable, such as OPENAI_API_KEY, not the key itself"
            )

    def _check_verifier(self) -> None:
        require("verifier", self.verifier.strip(), self.verifier, "none, consensus, auto, a name or a path")
        require("like", self.like is None or self.like.strip(), self.like, "a name, a path or hf:OWNER/NAME")
        if self.like is None and self.verifier not in (*_NO_SCORES, *_BY_TRIALS):
            raise ValueError(
                f"verifier {self.verifier!r} needs the model's vocabulary: name a local GGUF of the same model as "
                "like, or use none, consensus, or tests for programs"
            )

    def _check_template(self) -> None:
        from edgesearch.engines.endpoint import TEMPLATES

        if self.template is None:
            return
        if self.mode == "chat":
            raise ValueError("template has no effect in mode chat, where the server renders the turns; leave it out")
        is_known = self.template in TEMPLATES or self.template.endswith(_TEMPLATE_END)
        require("template", is_known, self.template, f"{', '.join(TEMPLATES)} or the path of a {_TEMPLATE_END} file")

    @property
    def template_file(self) -> Path | None:
        """The file of the template; None where it has a name, or there is none."""
        if self.template is None or not self.template.endswith(_TEMPLATE_END):
            return None
        return Path(self.template)

    @property
    def settings(self) -> dict[str, Any]:
        """What changes its results beside the content of its files."""
        return {
            "url": self.url,
            "model": self.model,
            "concurrency": self.concurrency,
            "verifier": _verifier_word(self.verifier),
            "mode": self.mode,
            "template": None if self.template_file else self.template,
            "choices_per_request": self.choices_per_request,
            "timeout_s": self.timeout_s,
            "params": self.params,
            "check": self.check,
        }


@dataclass(frozen=True, slots=True)
class SamplesEngine:
    """Recorded samples: {task_id, sample_idx, completion} a line."""

    kind: ClassVar[str] = "samples"
    id: str
    """Names the engine within the recipe."""
    file: Path
    """In the recipe its path is relative to the recipe."""
    verifier: str = "none"
    """none, consensus, recorded for scores in the file, or tests for programs."""

    def __post_init__(self) -> None:
        _require_id(self.id)
        require(
            "verifier", self.verifier.strip() not in ("", _AUTO), self.verifier, "none, consensus, a name or a path"
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What changes its results beside the content of its files."""
        return {"verifier": _verifier_word(self.verifier)}


Engine = GgufEngine | EndpointEngine | SamplesEngine


@dataclass(frozen=True, slots=True)
class GridEntry:
    """Axes whose product is run; a None stands for the default."""

    engines: tuple[str, ...]
    strategy: tuple[str, ...]
    n: tuple[int, ...]
    budget_s: tuple[float, ...]
    m: tuple[int, ...] = (DEFAULT_M,)
    temperature: tuple[float | None, ...] = (None,)
    max_tokens: tuple[int | None, ...] = (None,)
    aggregator: tuple[str | None, ...] = (None,)
    early_stop: tuple[float | None, ...] = (None,)

    @property
    def axes(self) -> tuple[tuple[Any, ...], ...]:
        """In the order of the fields of `Cell`, which has its seed before the last."""
        shape = (self.n, self.m, self.budget_s, self.temperature, self.max_tokens, self.aggregator, self.early_stop)
        return (self.engines, self.strategy, *shape)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does."""

    name: str
    seeds: tuple[int, ...]
    """Every cell of the grid is run with each."""
    task: TaskSpec
    engines: tuple[Engine, ...]
    grid: tuple[GridEntry, ...]
    path: Path
    """The file it was read from."""
    text: str
    """The file as it was; goes into the store."""

    def __post_init__(self) -> None:
        require("name", self.name.strip() and self.name.isprintable(), self.name, "a line of text")
        require(
            "seeds",
            self.seeds and len(set(self.seeds)) == len(self.seeds),
            list(self.seeds),
            "one or more different numbers",
        )
        require("seeds", all(0 <= seed <= MAX_SEED for seed in self.seeds), list(self.seeds), f"in [0, {MAX_SEED}]")
        ids = [engine.id for engine in self.engines]
        twice = next((name for name in ids if ids.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"[[engines]] has the id {twice!r} more than once; give each engine its own")

    def engine(self, name: str) -> Engine:
        """The engine of that id.

        Raises:
            UsageError: there is none; lists those there are.
        """
        for engine in self.engines:
            if engine.id == name:
                return engine
        raise UsageError(unknown("engine", name, [engine.id for engine in self.engines]))


@dataclass(frozen=True, slots=True)
class Cell:
    """One strategy, as wide and as long as it says, on one engine with one seed; run on every sample."""

    engine: str
    """The id of the engine."""
    strategy: str
    """One of `edgesearch.search.names()`, or auto."""
    n: int
    """Beams alive together, or samples; in [1, 4096]."""
    m: int
    """Children per kept beam: n/m beams are kept; in [1, n]. 1 for strategies without branching."""
    budget_s: float
    """In (0, 86400]."""
    temperature: float | None = None
    """In [0, 100]; None for the solver's own."""
    max_tokens: int | None = None
    """Of a solution; None for the solver's own limit."""
    aggregator: str | None = None
    """last, min, prod or mean; None for what the verifier was trained for."""
    seed: int = 0
    """Of every draw."""
    early_stop: float | None = None
    """How sure a vote must be to be ended early, in (0.5, 1], as for `--stop-early`; None never ends it."""

    def __post_init__(self) -> None:
        _require_id(self.engine)
        require_known("strategy", self.strategy, [_AUTO, *search.names()])
        SearchConfig(n=self.n, m=self.m)
        require("m", self.m <= self.n, self.m, f"in [1, n], and n is {self.n}")
        is_budget = math.isfinite(self.budget_s) and 0 < self.budget_s <= MAX_BUDGET_S
        require("budget_s", is_budget, self.budget_s, f"in (0, {MAX_BUDGET_S:g}]")
        if self.temperature is not None:
            Sampling(temperature=self.temperature)
        require("max_tokens", self.max_tokens is None or self.max_tokens >= 1, self.max_tokens, ">= 1")
        require_known("aggregator", self.aggregator or AGGREGATORS[0], AGGREGATORS)
        require("seed", 0 <= self.seed <= MAX_SEED, self.seed, f"in [0, {MAX_SEED}]")
        require("early_stop", self.early_stop is None or 0.5 < self.early_stop <= 1, self.early_stop, "in (0.5, 1]")

    @property
    def key(self) -> str:
        """16 hexadecimal digits made of all its fields."""
        return _digest(self.settings)[:16]

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields, as JSON has them; equal cells give equal ones."""
        settings = dataclasses.asdict(self)
        if self.early_stop is None:
            del settings["early_stop"]  # so that cells have the keys of stores from before there was such a field
        for name in ("budget_s", "temperature", "early_stop"):
            if settings.get(name) is not None:
                settings[name] = float(settings[name]) + 0.0  # 10 is 10.0, and -0.0 is 0.0
        return settings

    @property
    def name(self) -> str:
        """For people, such as `small beam n=16 m=4 10s seed=0`; different for different cells."""
        settings = self.settings
        words = [self.engine, self.strategy, f"n={self.n}", f"m={self.m}", f"{_short(settings['budget_s'])}s"]
        if self.temperature is not None:
            words.append(f"temperature={_short(settings['temperature'])}")
        if self.max_tokens is not None:
            words.append(f"max_tokens={self.max_tokens}")
        if self.aggregator is not None:
            words.append(self.aggregator)
        if self.early_stop is not None:
            words.append(f"early_stop={_short(settings['early_stop'])}")
        return " ".join([*words, f"seed={self.seed}"])


def _short(number: float) -> str:
    return repr(number).removesuffix(".0")


# ------------------------------------------------------------------------------------------------------------ keys


def unit_key(task_digest: str, model_digests: Mapping[str, str], cell: Cell, sample_id: str, problem_text: str) -> str:
    """The key of one unit of work, one sample in one cell: 32 hexadecimal digits made of its content.

    Args:
        task_digest: of the task: its samples, prompt and grader.
        model_digests: of the cell's engine only, by role (`solver`, `verifier`, `settings`, ...): the SHA-256 of each
            file, and `settings_digest` of the engine.
        cell: how it is solved.
        sample_id: which sample.
        problem_text: what is asked.

    Returns:
        The same key for the same content, whichever run, process or machine asks; another key for anything else.
    """
    return _digest([task_digest, dict(model_digests), cell.settings, sample_id, problem_text])[:32]


def settings_digest(engine: Engine) -> str:
    """What of an engine can change its results, beside its files: 16 hexadecimal digits.

    Its id, the places of its files and the name of the variable with the key are left out.
    """
    return _digest([engine.kind, engine.settings])[:16]


def _digest(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _verifier_word(verifier: str) -> str | None:
    """The verifier where it has no weights whose digest would tell."""
    return verifier if verifier in _NO_SCORES else None


# ----------------------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True, slots=True)
class Expansion:
    """The cells of a recipe."""

    cells: tuple[Cell, ...]
    """All different, in the order of the recipe."""
    warnings: tuple[str, ...] = ()
    """What was asked for twice and is run once, and engines that nothing uses."""


def cells(recipe: Recipe) -> tuple[Cell, ...]:
    """The cells of a recipe, in its order, all different; see `expand` for what was dropped.

    Raises:
        UsageError: as `expand`.
    """
    return expand(recipe).cells


def expand(recipe: Recipe) -> Expansion:
    """The cells of a recipe, and a sentence for each entry that asks for the same work again.

    The same work is: greedy at several widths or temperatures, m where nothing branches or above n, an aggregator where
    nothing is scored, an early stop where no vote can be ended.

    Raises:
        UsageError: more than `MAX_CELLS`, a value out of range, or a strategy that its engine cannot run.
    """
    _check_size(recipe)
    found: dict[Cell, None] = {}
    warnings: list[str] = []
    for number, entry in enumerate(recipe.grid, 1):
        repeated = []
        for cell in _entry_cells(recipe, entry, Place(recipe.path, "grid", number)):
            if cell in found:
                repeated.append(cell)
            found[cell] = None
        if repeated:
            warnings.append(_repeats(number, repeated))
    used = {cell.engine for cell in found}
    warnings += [f"no [[grid]] entry uses engine {each.id!r}" for each in recipe.engines if each.id not in used]
    return Expansion(tuple(found), tuple(warnings))


def _check_size(recipe: Recipe) -> None:
    size = sum(math.prod(map(len, entry.axes)) for entry in recipe.grid) * len(recipe.seeds)
    if size > MAX_CELLS:
        raise UsageError(f"{recipe.path}: the grid has {size:,} cells; the most is {MAX_CELLS:,}, so shorten its lists")


def _repeats(number: int, repeated: Sequence[Cell]) -> str:
    cells = "1 cell is" if len(repeated) == 1 else f"{len(repeated)} cells are"
    return f"[[grid]] entry {number}: {cells} asked for more than once and run once, such as {repeated[0].name}"


def _entry_cells(recipe: Recipe, entry: GridEntry, place: Place) -> list[Cell]:
    found = []
    with place.blamed():
        for engine, strategy, *shape in itertools.product(*entry.axes):
            _check_pair(recipe.engine(engine), strategy, entry)
            found += [_cell(engine, strategy, shape, seed) for seed in recipe.seeds]
    return found


def _cell(engine: str, strategy: str, shape: Sequence[Any], seed: int) -> Cell:
    """The one spelling of this work."""
    n, m, budget_s, temperature, max_tokens, aggregator, early_stop = shape
    require("m", m >= 1, m, ">= 1")
    if strategy == _AUTO:
        m = max(1, min(m, n))
        return Cell(engine, strategy, n, m, budget_s, temperature, max_tokens, aggregator, seed, early_stop)
    known = search.strategy(strategy)
    if strategy == "greedy":
        SearchConfig(n=n)  # a width out of range is a slip here too
        n, temperature = 1, None
    m = max(1, min(m, n)) if known.uses_m else 1  # as the planner has it
    aggregator = aggregator if known.needs_scores else None
    early_stop = early_stop if known.can_stop_early else None
    return Cell(engine, strategy, n, m, budget_s, temperature, max_tokens, aggregator, seed, early_stop)


def _check_pair(engine: Engine, strategy: str, entry: GridEntry) -> None:
    if strategy != _AUTO and search.strategy(strategy).needs_scores and engine.verifier in _NO_SCORES:
        raise ValueError(
            f"strategy {strategy} needs a verifier that scores, and engine {engine.id!r} has verifier = "
            f"{engine.verifier!r}; name one there, or use majority"
        )
    match engine:
        case EndpointEngine(mode="chat"):
            _check_chat(engine, strategy)
        case SamplesEngine():
            _check_recorded(engine, strategy, entry)


def _check_chat(engine: EndpointEngine, strategy: str) -> None:
    """The chat API draws whole solutions in one go; auto is a beam search wherever steps are scored."""
    is_stepwise = engine.verifier not in _NO_SCORES if strategy == _AUTO else search.strategy(strategy).is_stepwise
    if is_stepwise:
        raise ValueError(
            f"strategy {strategy} draws step by step, which mode chat of engine {engine.id!r} cannot; use a strategy "
            'such as majority or best_of_n, or mode = "completions"'
        )
    if strategy in _FORCED:
        raise ValueError(
            f"strategy {strategy} writes on in the solver's own turn, which mode chat of engine {engine.id!r} cannot; "
            'use majority, or mode = "completions"'
        )


def _check_recorded(engine: SamplesEngine, strategy: str, entry: GridEntry) -> None:
    if strategy not in _RECORDED:
        raise ValueError(
            f"strategy {strategy} has to draw, and engine {engine.id!r} is recorded samples; use one of "
            f"{', '.join(_RECORDED)}"
        )
    for name in ("temperature", "max_tokens", "early_stop"):
        if getattr(entry, name) != (None,):
            raise ValueError(f"{name} has no effect on the recorded samples of engine {engine.id!r}; leave it out")


# --------------------------------------------------------------------------------------------------------- reading


def load(path: str | Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        UsageError: it cannot be read, is not TOML, or says something unknown or out of range.
    """
    path = Path(path)
    return parse(read_text(path, "recipe"), path)


def parse(text: str, path: Path) -> Recipe:
    """The recipe that a text holds.

    Args:
        text: TOML.
        path: where it is from; files that it names are relative to its folder.

    Raises:
        UsageError: as `load`.
    """
    recipe = _recipe(toml_tables.parse(text, path, "recipe"), path, text)
    expand(recipe)  # so that what is wrong with the grid is told now
    return recipe


_TOP_TYPES = {"name": str, "seeds": list, "task": dict, "engines": list, "grid": list}
_TASK_TYPES = {"name": str, "split": str, "limit": int, "data": str, "prompt": str, "grader": str, "seed": int}
_ENGINES: Mapping[str, tuple[type[Engine], dict[str, type]]] = {
    "gguf": (GgufEngine, {"solver": str, "verifier": str, "threads": int, "check": bool, "concurrent": int}),
    "endpoint": (
        EndpointEngine,
        {
            "url": str,
            "model": str,
            "api_key_env": str,
            "concurrency": int,
            "verifier": str,
            "like": str,
            "mode": str,
            "template": str,
            "choices_per_request": int,
            "timeout_s": float,
            "params": int,
            "check": bool,
        },
    ),
    "samples": (SamplesEngine, {"file": str, "verifier": str}),
}
_GRID_TYPES: dict[str, type] = {
    "engines": str,
    "strategy": str,
    "n": int,
    "m": int,
    "budget_s": float,
    "temperature": float,
    "max_tokens": int,
    "aggregator": str,
    "early_stop": float,
}


def _recipe(table: Mapping[str, Any], path: Path, text: str) -> Recipe:
    place = Place(path)
    check_keys(place, table, _TOP_TYPES, required=("name", "task", "engines", "grid"), title="recipe")
    seeds = table.get("seeds", [0])
    if not all(is_a(seed, int) for seed in seeds):
        raise place.error(f"seeds must be a list of whole numbers, not {shown(seeds)}")
    task = _task(table["task"], Place(path, "task"))
    engines = tuple(_engine(entry, at) for entry, at in entries(table, "engines", place))
    grid = tuple(_grid_entry(entry, at) for entry, at in entries(table, "grid", place))
    with place.blamed():
        return Recipe(table["name"], tuple(seeds), task, engines, grid, path, text)


def _task(table: dict[str, Any], place: Place) -> TaskSpec:
    check_keys(place, table, _TASK_TYPES, required=("name",))
    values = table | _resolved(table, "data", place)
    with place.blamed():
        return TaskSpec(**values)


def _engine(table: dict[str, Any], place: Place) -> Engine:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _ENGINES:
        problem = "the key 'kind' is missing" if kind is None else f"kind is {shown(kind)}"
        raise place.error(f"{problem}; it must be one of {', '.join(_ENGINES)}")
    if kind != GgufEngine.kind and "concurrent" in table:
        raise place.error(
            "concurrent is for engines of the kind gguf; an endpoint has its own concurrency (requests under way "
            "together), and recorded samples take no time"
        )
    made, types = _ENGINES[kind]
    required = [field.name for field in dataclasses.fields(made) if field.default is dataclasses.MISSING]
    check_keys(place, table, {"id": str, "kind": str, **types}, required=required, title=f"{kind} engine")
    values = table | _resolved(table, "file", place) | _resolved_references(table, place)
    with place.blamed():
        numbers = {key: as_float(key, table[key]) for key, wanted in types.items() if wanted is float and key in table}
        return made(**{name: value for name, value in (values | numbers).items() if name != "kind"})


def _resolved(table: Mapping[str, Any], key: str, place: Place) -> dict[str, Path]:
    """The file under that key, from the recipe's folder on; nothing where there is none."""
    if key not in table:
        return {}
    if not table[key].strip() or "\0" in table[key]:
        raise place.error(f"{key} must be the path of a file, not {table[key]!r}")
    return {key: place.path.absolute().parent / Path(table[key]).expanduser()}  # a worker may be elsewhere


def _resolved_references(table: Mapping[str, Any], place: Place) -> dict[str, str]:
    """Models and templates given as the path of a file; names and hf: references stay as they are."""
    found = {}
    for key in ("solver", "verifier", "like", "template"):
        reference = table.get(key, "")
        is_file = reference.lower().endswith((".gguf", ".onnx", _TEMPLATE_END)) and not reference.startswith("hf:")
        if is_file and (key != "verifier" or _is_model(reference)):
            found[key] = str(_resolved(table, key, place)[key])
    return found


def _is_model(verifier: str) -> bool:
    """Whether it is one model, and not a kind that is made of others."""
    from edgesearch.verifiers import loading

    return loading.parse(verifier).kind == loading.MODEL


def _grid_entry(table: dict[str, Any], place: Place) -> GridEntry:
    check_known(place, table, list(_GRID_TYPES), "grid entry")
    axes = {key: _axis(place, key, value) for key, value in table.items()}
    if set(axes.get("strategy", ())) == {"greedy"}:
        axes.setdefault("n", (1,))
    for key in ("engines", "strategy", "n", "budget_s"):
        if key not in axes:
            raise place.error(f"the key {key!r} is missing")
    return GridEntry(**axes)


def _axis(place: Place, key: str, value: object) -> tuple[Any, ...]:
    """A value, or a list of values, as a tuple."""
    values = value if isinstance(value, list) else [value]
    wanted = _GRID_TYPES[key]
    if not values or not all(is_a(item, wanted) for item in values):
        raise place.error(f"{key} must be {TYPE_NAMES[wanted]} or a list of them, not {shown(value)}")
    with place.blamed():
        return tuple(as_float(key, item) if wanted is float else item for item in values)


def _require_id(name: str) -> None:
    allowed = "at most 64 letters, digits, dots, hyphens and underscores, a letter or digit first"
    require("id", _ID.fullmatch(name), name, allowed)

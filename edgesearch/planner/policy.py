"""Policy: what was measured of every setting on a tuning split, and which setting that says to run in the time left.

A policy is a JSON file of one solver with one verifier. It holds, for all problems and for five bins of difficulty,
what each setting (strategy, n, m) reached and what it cost in units that no machine changes: passes of the solver,
calls of the verifier, tokens. Seconds on this machine are the caller's (planner/profile.py). One comes with the
built-in solver; `edgesearch tune` makes others.

Bins go by what a solve can see: the mean score of its first few drafts. Those by pass@1 (*oracle* bins), which need the
targets, are there for the record alone. Problems that an exact check settles among the first drafts have no bin.

A policy file is untrusted: every key, type and range is checked, nothing in it is executed, and one that is damaged or
of other models is told and left as it is.

Not covered: measuring (bench/tuning.py), planning (planner/auto.py).

Source: compute-optimal test-time scaling, Snell et al. 2024, arXiv 2408.03314, section 3.2, with seconds for FLOPs.
"""

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgesearch.catalog import SolverSpec
from edgesearch.errors import IntegrityError, ModelNotFound, UsageError
from edgesearch.planner import typed_json
from edgesearch.planner.confidence import Calibration

SCHEMA_VERSION = 1
NUM_BINS = 5
MAX_FILE_BYTES = 1 << 20
_TOLERANCE = 0.005
"""Of accuracy: a cheaper setting that is this near the best is taken instead."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Which model."""

    name: str
    sha256: str | None
    """Of its file, lowercase hexadecimal; None for a verifier that has no file of its own."""

    def __post_init__(self) -> None:
        if self.sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 must be 64 lowercase hexadecimal digits, not {self.sha256[:80]!r}")

    @classmethod
    def of(cls, name: str, path: Path) -> "Weights":
        """Of a model's file, which is read once in each state that it is in.

        Raises:
            ModelNotFound: it cannot be read.
        """
        try:
            state = path.stat()
            return cls(name, _sha256(path, state.st_size, state.st_mtime_ns, state.st_ino))
        except OSError as error:
            raise ModelNotFound(f"{path} cannot be read ({error.strerror}); check the path") from error

    def is_same(self, other: "Weights") -> bool:
        """Whether both are the same file, whatever it is called; by name where there is none."""
        return self.sha256 == other.sha256 and (self.sha256 is not None or self.name == other.name)


@functools.lru_cache(maxsize=16)
def _sha256(path: Path, *state: int) -> str:
    del state
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def models(solver: SolverSpec, verifier: str) -> tuple[Weights, Weights | None]:
    """Which models a solve with that solver and that `--verifier` uses.

    A verifier that is one model is known by its file; one that is made of several, or has none, by what it is called.

    Raises:
        EdgesearchError: the verifier cannot be found.
    """
    from edgesearch.verifiers import loading

    own = Weights.of(solver.name, solver.path)
    reference = loading.parse((solver.verifier or "consensus") if verifier == loading.AUTO else verifier)
    if reference.kind == loading.NONE:
        return own, None
    if reference.kind != loading.MODEL:
        return own, Weights(reference.text, None)
    spec = loading.find(reference)
    return own, Weights.of(spec.name, spec.path)


@dataclass(frozen=True, slots=True)
class TunedOn:
    """The problems that it was measured on."""

    task: str
    split: str
    seed: int
    num_problems: int
    digest: str
    """Of the task: what was asked and how it was graded."""
    check: str | None
    """The exact check that answers went through; None for none."""
    left_out: tuple[str, ...] = ()
    """Ids of problems that are among those that results are reported on, and so were not used."""

    def __post_init__(self) -> None:
        _require("num_problems", self.num_problems >= 1, self.num_problems, ">= 1")


@dataclass(frozen=True, slots=True)
class Row:
    """What one setting reached, and what it cost: means over problems."""

    strategy: str
    n: int
    m: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    """95%."""
    decode_passes: float
    p90_decode_passes: float
    """What nine problems in ten stay within."""
    decoded_tokens: float
    verifier_calls: float
    verified_tokens: float
    seconds: float
    """On the machine that it was tuned on; for the record."""

    def __post_init__(self) -> None:
        for name in ("n", "m"):
            _require(name, 1 <= getattr(self, name) <= 4096, getattr(self, name), "in [1, 4096]")
        low, high = self.accuracy_interval
        _require("accuracy", 0 <= self.accuracy <= 1, self.accuracy, "in [0, 1]")
        _require("accuracy_interval", 0 <= low <= high <= 1, self.accuracy_interval, "two ascending shares")
        for name in ("decode_passes", "p90_decode_passes", "decoded_tokens", "verifier_calls", "verified_tokens"):
            _require(name, getattr(self, name) >= 0, getattr(self, name), ">= 0")
        _require("seconds", self.seconds >= 0, self.seconds, ">= 0")


@dataclass(frozen=True, slots=True)
class Bin:
    """Problems of one difficulty."""

    num_problems: int
    pass_at_1: float
    """Share of right answers among samples of their own."""
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        _require("num_problems", self.num_problems >= 1, self.num_problems, ">= 1")
        _require("pass_at_1", 0 <= self.pass_at_1 <= 1, self.pass_at_1, "in [0, 1]")


@dataclass(frozen=True, slots=True)
class Policy:
    """All of it."""

    solver: Weights
    verifier: Weights | None
    tuned_on: TunedOn
    date: str
    """On which it was made, as YYYY-MM-DD."""
    edgesearch: str
    """The version that made it."""
    overall: tuple[Row, ...]
    """Of all problems."""
    edges: tuple[float, ...]
    """Descending: a mean score of at least the first is bin 1, the easiest; below the last is bin 5. Empty: no bins."""
    bins: tuple[Bin, ...]
    """By predicted difficulty, the easiest first; as many as `edges` and one more, or none."""
    oracle_bins: tuple[Bin, ...]
    """By pass@1, the easiest first, or none."""
    calibration: Calibration | None
    """Of the confidence; None where there were too few problems to fit one."""

    def __post_init__(self) -> None:
        _require("date", re.fullmatch(r"\d{4}-\d\d-\d\d", self.date), self.date, "YYYY-MM-DD")
        _require("overall", self.overall, len(self.overall), "one row or more")
        for name in ("bins", "oracle_bins"):
            _require(name, len(getattr(self, name)) in (0, NUM_BINS), len(getattr(self, name)), f"{NUM_BINS} or none")
        _require("edges", len(self.edges) == max(0, len(self.bins) - 1), len(self.edges), "one fewer than bins")
        is_descending = list(self.edges) == sorted(self.edges, reverse=True)
        _require("edges", is_descending, self.edges, "descending")
        _require("edges", all(0 <= edge <= 1 for edge in self.edges), self.edges, "in [0, 1]")

    @property
    def name(self) -> str:
        """For people: what it was made for and from."""
        verifier = "no verifier" if self.verifier is None else self.verifier.name
        tuned_on = self.tuned_on
        return f"{self.solver.name} with {verifier}, {tuned_on.num_problems} problems of {tuned_on.task}, {self.date}"

    def bin_of(self, mean_score: float | None) -> int | None:
        """The bin of a problem by the mean score of its first drafts: 1 (easiest) to 5; None without bins or score."""
        if mean_score is None or not self.bins:
            return None
        return 1 + sum(mean_score < edge for edge in self.edges)

    def rows(self, number: int | None) -> tuple[Row, ...]:
        """Of a bin, 1 to 5; of all problems for None, or where there are no bins."""
        return self.overall if number is None or not self.bins else self.bins[number - 1].rows

    def best(
        self,
        number: int | None,
        seconds_of: Callable[[Row], float],
        left_s: float,
        *,
        tolerance: float = _TOLERANCE,
    ) -> Row | None:
        """The cheapest setting that fits and is as accurate as any that fits, but for the tolerance.

        Args:
            number: the bin, as in `rows`.
            seconds_of: what a setting is expected to take on this machine.
            left_s: seconds that are left.
            tolerance: of accuracy.

        Returns:
            Its row; None where no setting fits.
        """
        fitting: list[tuple[float, Row]] = []
        for row in sorted(self.rows(number), key=lambda row: row.accuracy, reverse=True):
            if fitting and row.accuracy < fitting[0][1].accuracy - tolerance:
                break  # the first that fits is the most accurate
            seconds = seconds_of(row)
            if seconds <= left_s:
                fitting.append((seconds, row))
        return min(fitting, key=lambda pair: pair[0])[1] if fitting else None

    def dumps(self) -> str:
        """The file's text; `loads` reads it."""
        return typed_json.dumps(self, SCHEMA_VERSION) + "\n"


def loads(text: str) -> Policy:
    """The policy in a file's text.

    Raises:
        ValueError: it is none, or of another version; says where.
    """
    policy: Policy = typed_json.loads(text, Policy, SCHEMA_VERSION)
    return policy


def load(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        UsageError: it cannot be read.
        IntegrityError: it is not a policy, or damaged.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the policy {path} cannot be read ({error.strerror}); give another --policy") from error
    try:
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
        return loads(content.decode())
    except ValueError as error:
        raise IntegrityError(
            f"{path} is not a usable policy ({error}); make it again with `edgesearch tune`, or move it away"
        ) from error


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for a policy led to."""

    policy: Policy | None
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""


def find(
    solver: Weights,
    verifier: Weights | None,
    *,
    explicit: Path | None = None,
    builtin: Path | None = None,
    folder: Path | None = None,
) -> Found:
    """The policy for these models: the one named, else the user's own, else the one that came with the solver.

    Args:
        solver: the solver's file.
        verifier: the verifier's; None without one.
        explicit: a file that the user named.
        builtin: the file that the solver's manifest names.
        folder: of the user's policies; default: `user_folder()`.

    Raises:
        UsageError: the file named cannot be read, or is of other models.
        IntegrityError: the file named is damaged.
    """
    if explicit is not None:
        policy = load(explicit)
        if not _is_for(policy, solver, verifier):
            raise UsageError(f"{explicit} {_foreign(policy, solver, verifier)}")
        return Found(policy, explicit)
    warnings: list[str] = []
    own = (user_folder() if folder is None else folder) / file_name(solver, verifier)
    for path in (own, builtin):
        if path is None or not path.is_file():
            continue
        try:
            policy = load(path)
        except (UsageError, IntegrityError) as error:
            warnings.append(f"{error}; it was not used")
            continue
        if _is_for(policy, solver, verifier):
            return Found(policy, path, tuple(warnings))
        if path == own:  # one that came with the solver is for its own verifier alone, and need not fit
            warnings.append(f"{path} {_foreign(policy, solver, verifier)}; it was not used")
    return Found(None, None, tuple(warnings))


def user_folder() -> Path:
    """Where `edgesearch tune` puts policies."""
    import platformdirs

    return platformdirs.user_data_path("edgesearch") / "policies"


def file_name(solver: Weights, verifier: Weights | None) -> str:
    """Of the policy of these models in the user's folder."""
    parts = [_file_words(each) for each in (solver, verifier) if each is not None]
    return "-with-".join(parts) + ".json"


def _file_words(weights: Weights) -> str:
    name = re.sub(r"[^A-Za-z0-9.]+", "-", weights.name).strip("-.")[:40] or "unnamed"
    return name if weights.sha256 is None else f"{name}-{weights.sha256[:12]}"


def _is_for(policy: Policy, solver: Weights, verifier: Weights | None) -> bool:
    if (policy.verifier is None) != (verifier is None) or not policy.solver.is_same(solver):
        return False
    return policy.verifier is None or verifier is None or policy.verifier.is_same(verifier)


def _foreign(policy: Policy, solver: Weights, verifier: Weights | None) -> str:
    def words(solver: Weights, verifier: Weights | None) -> str:
        pair = [solver, *([] if verifier is None else [verifier])]
        return " with ".join(f"{each.name} ({(each.sha256 or 'no file')[:12]})" for each in pair)

    return (
        f"was tuned for {words(policy.solver, policy.verifier)}, not for {words(solver, verifier)}; "
        "make one with `edgesearch tune`"
    )


def _require(field: str, is_valid: object, value: object, allowed: str) -> None:
    if not is_valid:
        raise ValueError(f"{field} must be {allowed}, not {str(value)[:80]}")

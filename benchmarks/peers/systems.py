"""The systems that are compared, each behind the same call: a cell and a problem in, a `Row` out.

Not covered: what is run (plan.py), what is made of it (figures.py).
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import edgesearch
from edgesearch import answer
from edgesearch.tasks.arithmetic import ArithmeticSample, grade
from peers.plan import OURS, OURS_HTTP, Cell, Row
from peers.server import Server

BUDGET_S = 120.0
"""For cells without a budget: more than any takes."""
MAX_N = 64
CHILDREN = 4


def mark(sample: ArithmeticSample, found: str | None) -> str:
    """`1` right, `0` wrong, `-` unanswered."""
    if found is None:
        return "-"
    return "1" if grade(sample, found) else "0"


class ItsHub:
    """its_hub in a process of its own; use it in a `with`."""

    def __init__(self, python: Path, server: Server, *, max_tokens: int, max_steps: int, temperature: float) -> None:
        """Starts it; the first call waits until it is ready.

        Raises:
            RuntimeError: that Python has no its_hub.
        """
        self.version = _version(python)
        """Of its_hub."""
        command = [
            *(str(python), str(Path(__file__).with_name("its_hub_runner.py")), f"{server.url}/v1"),
            *("--max-tokens", str(max_tokens), "--max-steps", str(max_steps), "--temperature", str(temperature)),
        ]
        self._server = server
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; safe to call twice."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended before
            self._process.stdin.close()  # which is what it ends at
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def process_id(self) -> int:
        """Of its_hub's process."""
        return self._process.pid

    def solve(self, cell: Cell, sample: ArithmeticSample, seed: int, kept: int | None = None) -> Row:
        """Solves a problem.

        Args:
            cell: what to run.
            sample: the problem.
            seed: of what its_hub draws itself, in resampling and in ties.
            kept: `beam_width`, where it is not the chosen one.

        Raises:
            RuntimeError: its process has ended; what it said is on stderr.
        """
        order = {"algorithm": cell.strategy, "n": cell.n, "problem": sample.problem, "seed": seed, "kept": kept}
        self._server.forget()
        before = self._server.counters()
        reply = self._ask(order)
        prefilled, decoded = (after - was for after, was in zip(self._server.counters(), before, strict=True))
        return Row(
            mark=mark(sample, answer.extract(reply["text"])),
            seconds=reply["seconds"],
            decoded_tokens=decoded,
            prefilled_tokens=prefilled,
            verified_tokens=reply["verified_tokens"],
            calls=reply["calls"],
            error=reply["error"] or "",
        )

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError("its_hub's process has ended; what it said last is on stderr")
        reply: dict[str, Any] = json.loads(line)
        return reply


def _version(python: Path) -> str:
    """Of its_hub, for that Python."""
    command = [str(python), "-c", "from importlib.metadata import version; print(version('its_hub'))"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{python} has no its_hub; install benchmarks/peers/requirements.txt there, or name another")
    return done.stdout.strip()


class Edgesearch:
    """edgesearch in this process, without and with the exact check, and over the server; use it in a `with`."""

    def __init__(self, server: Server) -> None:
        """Loads the models."""
        self._pipelines = {
            (OURS, checked): edgesearch.load("nano", "auto", max_n=MAX_N, check=checked) for checked in (False, True)
        }
        self._pipelines[OURS_HTTP, False] = edgesearch.load_endpoint(
            f"{server.url}/v1",
            "nano",
            like="nano",
            verifier="auto",
            concurrency=MAX_N,
            max_n=MAX_N,
            check=False,
        )
        self._server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipeline in self._pipelines.values():
            pipeline.close()

    def solve(self, cell: Cell, sample: ArithmeticSample, seed: int, budget_s: float = 0.0) -> Row:
        """Solves a problem, within a budget where one is given.

        Raises:
            RuntimeError: another strategy or width ran than the cell names.
        """
        pipeline = self._pipelines[cell.system, cell.is_checked]
        options: dict[str, Any] = {"seed": seed, "budget_s": budget_s or BUDGET_S}
        if not budget_s:
            options |= {"strategy": cell.strategy, "n": cell.n, "m": CHILDREN}
        if cell.system == OURS_HTTP:
            self._server.forget()
        started = time.perf_counter()
        solution = pipeline.solve(sample.problem, **options)
        seconds = time.perf_counter() - started
        if not budget_s and (solution.strategy.name, solution.strategy.n) != (cell.strategy, cell.n):
            raise RuntimeError(f"{solution.strategy.name} with n={solution.strategy.n} ran, not {cell.name}")
        return Row(
            mark=mark(sample, solution.answer),
            seconds=seconds,
            decoded_tokens=solution.usage.decoded_tokens,
            prefilled_tokens=solution.usage.prefilled_tokens,
            verified_tokens=solution.usage.verified_tokens,
            budget_s=budget_s,
        )


def require_same_prompts(server: Server, samples: Sequence[ArithmeticSample]) -> int:
    """Checks, token for token, that the server shows the solver what edgesearch shows it; tells how many it compared.

    Both a problem alone and a problem with a solution begun, as its_hub sends them.

    Raises:
        RuntimeError: they differ.
    """
    from edgesearch import catalog
    from edgesearch.engines.vocabulary import Vocabulary
    from edgesearch.prompt import make_prompt
    from edgesearch.tasks.arithmetic import STEP_DELIMITER
    from edgesearch.types import Problem

    vocabulary = Vocabulary(catalog.solver("nano").path)
    count = 0
    for sample in samples:
        asked = {"role": "user", "content": sample.problem}
        expected = list(vocabulary.encode(make_prompt(Problem(sample.problem))))
        begun = "".join(step + STEP_DELIMITER for step in sample.steps)
        pairs = [
            (server.prompt_ids([asked]), expected),
            (
                server.prompt_ids(
                    [asked, {"role": "assistant", "content": begun}],
                    add_generation_prompt=False,
                    continue_final_message=True,
                ),
                expected + [token for step in sample.steps for token in vocabulary.tokenize(step + STEP_DELIMITER)],
            ),
        ]
        for found, wanted in pairs:
            if found != wanted:
                raise RuntimeError(f"the server shows the solver {found}, edgesearch {wanted}, for {sample.id}")
            count += 1
    vocabulary.close()
    return count

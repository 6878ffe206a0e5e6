"""Code problems on recorded samples: references passed, pass@k, and what visible tests and agreement choose.

    python benchmarks/programs.py --humaneval HumanEval.jsonl.gz --mbpp mbpp_sanitized_for_code_generation.jsonl \\
        --prompts HumanEval_for_code_generation.jsonl --samples ..._code_solution.jsonl --tests ..._test_case.jsonl \\
        --record --plot benchmarks/results

The samples are the 100 of CodeGen-16B for each HumanEval problem that CodeT recorded at temperature 0.8, with the tests
that the same model wrote (github.com/microsoft/CodeT, MIT licence): nothing is drawn here, so every figure depends on
the sandbox and the choosing alone. In order:

* references: the data's own solutions, each against its own tests.
* samples: every sample is run, copies too, twice; then the different ones once more beside a busy process for each
  processor. All verdicts must be the same. pass@k is the unbiased estimator of Chen et al. 2021.
* choosing one of k: at random (which is pass@1), by the examples in the docstring (the prompts that the samples were
  drawn for have them cut out), and by agreement on the recorded tests. Below all 100, over random subsets.

Runs for about half an hour on 2 cores; what is done is kept in --work and not done again.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Progress, Report, add_record_option, log
from programs_choosing import choosing
from programs_data import Recorded, read
from programs_figures import draw, fitted

from edgesearch import tasks
from edgesearch.answer import canonical
from edgesearch.bench.estimators import pass_at_k
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import TrialResult
from edgesearch.tasks.program_grading import trials_of

KS = (1, 10, 100)
PLAIN = {"1": 0.221, "10": 0.504, "100": 0.738}
"""pass@k of these samples where prompt, sample and test simply run as one program."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--humaneval", type=Path, required=True, help="HumanEval.jsonl.gz, with examples in docstrings")
    parser.add_argument("--mbpp", type=Path, required=True, help="MBPP sanitized")
    parser.add_argument("--prompts", type=Path, required=True, help="the problems as the samples were drawn for")
    parser.add_argument("--samples", type=Path, required=True, help="CodeT's recorded programs")
    parser.add_argument("--tests", type=Path, required=True, help="CodeT's recorded tests")
    parser.add_argument("--quick", action="store_true", help="4 samples a problem, to see that it works")
    parser.add_argument("--limit", type=int, help="so many samples a problem; all by default")
    parser.add_argument("--work", type=Path, default=Path("programs-work"), help="where finished parts are kept")
    parser.add_argument("--plot", type=Path, help="a directory for the pictures")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    if args.quick:
        args.limit = 4
    args.work.mkdir(parents=True, exist_ok=True)
    report = Report("programs")
    recorded = read(args.prompts, args.samples, args.tests, args.limit)
    figures: dict[str, Any] = {
        "references": kept(
            args.work, "references", lambda: references({"humaneval": args.humaneval, "mbpp": args.mbpp})
        ),
        "samples": samples(recorded, args.work),
    }
    right = json.loads((args.work / "first.json").read_text(encoding="utf-8"))["right"]
    figures["samples"]["fit"] = fitted(figures["samples"]["curve"])
    figures["choosing"] = kept(args.work, "choosing", lambda: choosing(recorded, right, args.humaneval))
    if args.plot is not None:
        for path in draw(figures, args.plot):
            log(f"drawn: {path}")
    report.close(figures, is_recorded=args.record)
    return 0


def kept(work: Path, name: str, measure: Callable[[], Any]) -> Any:
    """What a part came to, measured now or in an earlier run."""
    path = work / f"{name}.json"
    if not path.exists():
        found = measure()
        path.write_text(json.dumps(found), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def references(files: Mapping[str, Path]) -> dict[str, Any]:
    """How many of the data's own solutions pass their tests, and why others do not."""
    found = {}
    for name, path in files.items():
        task, programs = tasks.load(name, data=path), tasks.references(name, data=path)
        with TrialPool() as pool:
            trials = (trial for sample in task.samples for trial in trials_of(sample, [programs[sample.id]]))
            results = dict(zip([sample.id for sample in task.samples], pool.run_all(trials), strict=True))
        found[name] = {
            "num_problems": len(results),
            "num_passed": sum(result.is_passed for result in results.values()),
            "failing": {key: result.reason for key, result in results.items() if not result.is_passed},
            "most_cpu_s": max(result.cpu_s for result in results.values()),
            "num_with_visible_tests": sum(bool(s.problem.code and s.problem.code.tests) for s in task.samples),
        }
    return found


def samples(recorded: Recorded, work: Path) -> dict[str, Any]:
    """All samples run three times: pass@k, seconds, and whether the verdicts are the same."""
    first = kept(work, "first", lambda: run(recorded, "first run", is_each=True))
    second = kept(work, "second", lambda: run(recorded, "second run", is_each=True))
    with_busy = kept(work, "busy", lambda: run_busy(recorded))
    runs = {"first": first, "second": second, "busy": with_busy}
    counts = [(len(flags), sum(flags)) for flags in first["right"].values()]
    return {
        "num_samples": sum(num for num, _ in counts),
        "num_different": recorded.num_different,
        "pass_at_k": _coverage(counts, [k for k in KS if k <= counts[0][0]]),
        "plain": PLAIN,
        "curve": _coverage(counts, range(1, counts[0][0] + 1)),
        "num_workers": first["num_workers"],
        "sandbox": first["sandbox"],
        "seconds": {name: each["seconds"] for name, each in runs.items()},
        "num_run": {name: each["num_run"] for name, each in runs.items()},
        "reasons": first["reasons"],
        "num_verdicts_that_differ": {
            name: sum(
                a != b for key, flags in first["right"].items() for a, b in zip(flags, each["right"][key], strict=True)
            )
            for name, each in runs.items()
            if name != "first"
        },
    }


def run(recorded: Recorded, name: str, *, is_each: bool) -> dict[str, Any]:
    """Runs all samples, or one of each that are the same program, against the hidden tests."""
    jobs = list(_jobs(recorded, is_each=is_each))
    progress = Progress(name, len(jobs))
    verdicts: dict[tuple[str, str], bool] = {}
    right: dict[str, list[bool]] = {sample.id: [] for sample in recorded.task.samples}
    reasons: dict[str, int] = {}
    started = time.perf_counter()
    with TrialPool() as pool:
        for (sample_id, key), result in zip(
            [job[0] for job in jobs], pool.run_all(job[1] for job in jobs), strict=True
        ):
            verdicts[sample_id, key] = result.is_passed
            if is_each:
                right[sample_id].append(result.is_passed)
            reasons[_kind(result)] = reasons.get(_kind(result), 0) + 1
            progress.add(1)
        sandbox, num_workers = pool.info.name, pool.num_workers
    seconds = time.perf_counter() - started
    if not is_each:
        for sample in recorded.task.samples:
            right[sample.id] = [verdicts[sample.id, canonical(each)] for each in recorded.programs[sample.id]]
    facts = {"sandbox": sandbox, "num_workers": num_workers, "num_run": len(jobs), "seconds": seconds}
    return {"right": right, "reasons": reasons, **facts}


def _jobs(recorded: Recorded, *, is_each: bool) -> Iterator[tuple[tuple[str, str], Any]]:
    for sample in recorded.task.samples:
        programs = recorded.programs[sample.id]
        keys = list(map(canonical, programs))
        if not is_each:
            different = dict(zip(reversed(keys), reversed(programs), strict=True))
            keys, programs = list(different), list(different.values())
        for key, trial in zip(keys, trials_of(sample, programs), strict=True):
            yield (sample.id, key), trial


def _kind(result: TrialResult) -> str:
    """Why a program is wrong, in a few words, for a table."""
    if result.is_passed:
        return "passed"
    if result.error:
        return "the tests are at fault"
    for words in ("processor time", "wall clock", "does not run", "does not define", "returned"):
        if words in result.reason:
            return words
    return result.reason.partition(":")[0][:40]


def run_busy(recorded: Recorded) -> dict[str, Any]:
    """The same beside a busy process for each processor."""
    with busy(os.cpu_count() or 1):
        return run(recorded, "beside busy processes", is_each=False)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but take processor time."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


def _coverage(counts: Sequence[tuple[int, int]], ks: Sequence[int]) -> dict[str, float]:
    """pass@k, the mean over problems, by k."""
    by_problem = pass_at_k([num for num, _ in counts], [good for _, good in counts], ks)  # (num_problems, len(ks))
    return {str(k): float(value) for k, value in zip(ks, by_problem.mean(axis=0), strict=True)}


if __name__ == "__main__":
    sys.exit(main())

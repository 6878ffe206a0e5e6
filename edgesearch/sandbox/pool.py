"""A pool of sandboxed workers that try programs (trial.py).

    with TrialPool() as pool:
        for result in pool.run_all(trials): ...

A worker stays warm from trial to trial; one that is lost is replaced and the trial run again, once: a program that ends
its worker twice has failed.

Not covered: which sandbox (probe.py), what happens inside (inside/).
"""

import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from edgesearch.errors import UsageError
from edgesearch.sandbox import probe
from edgesearch.sandbox.base import Limits, SandboxInfo
from edgesearch.sandbox.trial import LIMITS, Tested, Trial, TrialResult
from edgesearch.sandbox.worker import Worker, WorkerLost, unfit

_MAX_WORKERS = 8
_MAX_LOST = 2
"""Workers that one trial may cost."""
_MAX_CPU = 3.0
"""Of a trial whose tests go on after one that was not outlived: how often its limit it may spend in all."""
_AHEAD = 4
"""Trials taken before they can be run, for each worker."""


class PoolClosed(UsageError):
    """The pool was closed before or while a trial ran."""


class TrialPool:
    """Runs trials, several at once. May be used from several threads; starts its workers with the first trials."""

    def __init__(self, sandbox: str = "auto", *, num_workers: int | None = None, limits: Limits = LIMITS) -> None:
        """Finds a sandbox; starts nothing yet.

        Args:
            sandbox: `auto` for the strongest that isolates and works here, the name of one, or `none`, which also needs
                the environment variable EDGESEARCH_ALLOW_UNSANDBOXED=1.
            num_workers: trials at once; default: one a processor, at most 8.
            limits: of each process of a trial; seconds of processor time are rounded up to whole ones.

        Raises:
            SandboxUnavailable: it does not work here; says what to do.
            UsageError: there is no such sandbox, or num_workers is below 1.
        """
        if num_workers is not None and num_workers < 1:
            raise UsageError(f"num_workers must be >= 1, not {num_workers}")
        self._tier = probe.find_for_programs(sandbox)
        self._limits = limits
        self._num_workers = num_workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        self._free: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(self._num_workers):
            self._free.put(None)  # a place for one that is started when it is needed
        self._at_work: set[Worker] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        self._threads: ThreadPoolExecutor | None = None

    @property
    def info(self) -> SandboxInfo:
        """The sandbox in use."""
        return self._tier.info

    @property
    def num_workers(self) -> int:
        """Trials at once."""
        return self._num_workers

    def run(self, trial: Trial, *, until_s: float = math.inf) -> TrialResult:
        """Tries one program. Never raises for what program or tests do.

        Args:
            trial: the program and its tests.
            until_s: when to give up, by `time.monotonic`; what runs then is ended, and its result `is_cut`.

        Raises:
            SandboxUnavailable: no worker can be started any more.
            PoolClosed: the pool is closed, or `close` is called meanwhile.
        """
        self._check_open()
        known = unfit(trial)
        if known is not None:
            return TrialResult((known,), len(trial.tests))
        tested: list[Tested] = []
        cpu_s, started_s = 0.0, time.monotonic()
        while True:
            more, more_cpu_s, is_broken = self._run_from(trial, len(tested), until_s)
            if time.monotonic() >= until_s:
                cut = Tested("failed", "there was no time left to wait for it")
                return TrialResult((*tested, cut)[: len(trial.tests)], len(trial.tests), cpu_s, is_cut=True)
            tested += more
            cpu_s += more_cpu_s
            if not is_broken or trial.ends_early or len(tested) >= len(trial.tests):
                break
            is_slow = time.monotonic() - started_s > self._limits.wall_s  # it sleeps, or waits: that takes no time
            if is_slow or cpu_s > _MAX_CPU * self._limits.cpu_s:
                rest = len(trial.tests) - len(tested)
                tested += [Tested("failed", "it used all its time on tests before")] * rest
                break
        return TrialResult(tuple(tested), len(trial.tests), cpu_s)

    def run_all(self, trials: Iterable[Trial], *, until_s: float = math.inf) -> Iterator[TrialResult]:
        """Tries programs side by side; results in the order given. Takes trials as it goes on, so they may be many.

        Args:
            trials: the programs and their tests.
            until_s: of each, as in `run`.

        Raises:
            SandboxUnavailable: no worker can be started any more.
            PoolClosed: the pool is closed, or `close` is called meanwhile.
        """
        self._check_open()
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._num_workers, "trial")
            threads = self._threads
        waiting: deque[Future[TrialResult]] = deque()
        try:
            for trial in trials:
                waiting.append(threads.submit(self.run, trial, until_s=until_s))
                if len(waiting) >= _AHEAD * self._num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (CancelledError, RuntimeError):  # what the threads raise once `close` has ended them
            self._check_open()
            raise
        finally:
            for future in waiting:  # after an error or Ctrl-C none of the rest is wanted
                future.cancel()

    def close(self) -> None:
        """Ends all workers, and trials under way with them, which raise then; safe to call twice."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for worker in self._at_work:
                worker.kill()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        for _ in range(self._num_workers):
            free = self._free.get()
            if free is not None:
                free.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise PoolClosed("this pool is closed; make another TrialPool")

    def _run_from(self, trial: Trial, first: int, until_s: float) -> tuple[list[Tested], float, bool]:
        """Results of the tests from one on, as `Worker.run` has them; none where it is time to give up."""
        for _ in range(_MAX_LOST):
            worker: Worker | None = self._free.get()
            try:
                if time.monotonic() >= until_s:
                    break
                worker = worker or Worker(self._tier)
                with self._busy(worker):
                    return worker.run(trial, first, self._limits, until_s)
            except BaseException as error:
                if worker is not None:  # in the middle of a talk, so of no use any more
                    worker.close()
                worker = None
                self._check_open()
                if not isinstance(error, WorkerLost):
                    raise
            finally:
                self._free.put(worker)
        return [Tested("failed", "the program ends the worker that runs it")], 0.0, True

    @contextmanager
    def _busy(self, worker: Worker) -> Iterator[None]:
        """Lets `close` find a worker that runs a trial."""
        with self._lock:
            self._check_open()
            self._at_work.add(worker)
        try:
            yield
        finally:
            with self._lock:
                self._at_work.discard(worker)

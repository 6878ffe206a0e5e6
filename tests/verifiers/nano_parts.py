"""The built-in models for tests of verifiers that are made of others."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from edgesearch import catalog, search
from edgesearch.budget import Budget
from edgesearch.driver import Driver
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.engines.llama_native import NativeModel
from edgesearch.jobs import Job, JobResult
from edgesearch.search.base import SearchConfig
from edgesearch.types import Prompt
from edgesearch.verifiers.base import Verifier
from edgesearch.verifiers.onnx_graph import OnnxGraph
from edgesearch.verifiers.onnx_prm import OnnxPrm

NANO = Path(__file__).parents[2] / "models" / "nano"
MODEL = NANO / "nano-prm-int8.onnx"
END = 756
"""The token that ends a solution of the nano solver."""


@cache
def _solver() -> NativeModel:
    return NativeModel(NANO / "nano-q8_0.gguf", has_extra_buffers=False)


@cache
def _vocab_sha256() -> str:
    return OnnxGraph(MODEL, "nano-prm").metadata["edgesearch.vocab_sha256"]


def encode(text: str) -> tuple[int, ...]:
    """A text in the nano solver's tokens."""
    return tuple(_solver().tokenize(text))


def nano_prm() -> OnnxPrm:
    """The built-in verifier."""
    return OnnxPrm(MODEL, name="nano-prm", vocab_sha256=_vocab_sha256())


def nano_engine() -> LlamaCppEngine:
    """The built-in solver, for 16 beams."""
    return LlamaCppEngine(NANO / "nano-q8_0.gguf", name="nano", max_sequences=16, max_tokens=160, longest=160)


def run(engine: LlamaCppEngine, verifier: Verifier, problem: str, strategy: str, n: int = 16) -> JobResult:
    """A search to its end."""
    driver, spec = Driver(engine, verifier), catalog.solver("nano")
    config = SearchConfig(n=n, m=4, aggregator=verifier.info.aggregator)
    deadline = Budget(60).start(time.monotonic)
    driver.submit(Job(Prompt(problem), search.strategy(strategy), config, spec.sampling, deadline, max_tokens=160))
    while not (ended := driver.turn()):
        pass
    return ended[0][1]

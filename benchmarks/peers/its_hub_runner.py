"""its_hub as a process: a JSON object a line in (what to run on which problem), one out (text, seconds, tokens).

Runs in an environment that has its_hub and edgesearch (requirements.txt); compare.py starts it. its_hub's own classes
do all the work: its client of an OpenAI-compatible server, its step generation, its algorithms. Ours are only the
verifier that it asks for scores (text_prm.py) and two repairs of its client (`LlamaServerModel`).

The seconds are those of `ainfer`, from the problem to the response, on a loop and a client that were made before;
connections are opened anew for each problem, as `infer` has it too: the server closes those that were idle for 5 s, and
a request that crosses the closing would wait for up to a second before it is sent again.

Settings, and why they are the best we know for it, are in README.md.
"""

import argparse
import asyncio
import json
import random
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from its_hub import BestOfN, LMOrchestrator, OpenAICompatibleLanguageModel, SelfConsistency, StepGeneration
from its_hub.api import AbstractOutcomeRewardModel, AbstractProcessRewardModel, GenerationUsage
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering

from edgesearch import answer
from peers.text_prm import BOX, DELIMITER, TextPrm

KEPT = {1: 1, 4: 2, 16: 4, 64: 16}
"""Beams that beam search keeps, its `beam_width`, by budget; README.md says how they were chosen."""


class StepScores(AbstractProcessRewardModel):  # type: ignore[misc]  # its_hub has no types
    """The built-in verifier as its_hub's process reward model."""

    def __init__(self, prm: TextPrm) -> None:
        """Takes the loaded verifier."""
        self._prm = prm

    def score(self, prompt_or_messages: str, steps: Sequence[str]) -> list[float]:
        """A score for each partial solution."""
        return self._prm.score(prompt_or_messages, steps, is_stepwise=True)

    async def ascore(self, prompt_or_messages: str, steps: Sequence[str]) -> list[float]:
        """The same."""
        return self.score(prompt_or_messages, steps)


class SolutionScores(AbstractOutcomeRewardModel):  # type: ignore[misc]
    """The built-in verifier as its_hub's outcome reward model: the score of a solution is that of its last step."""

    def __init__(self, prm: TextPrm) -> None:
        """Takes the loaded verifier."""
        self._prm = prm

    def score(self, messages: Sequence[Sequence[Any]]) -> list[float]:
        """A score for each conversation of a problem and a solution."""
        texts = [conversation[-1].content for conversation in messages]
        return self._prm.score(messages[0][0].content, texts, is_stepwise=False)

    async def ascore(self, messages: Sequence[Sequence[Any]], orchestrator: Any = None) -> list[float]:
        """The same."""
        del orchestrator
        return self.score(messages)


class LlamaServerModel(OpenAICompatibleLanguageModel):  # type: ignore[misc]
    """its_hub's client, with two repairs.

    It counts tokens for all algorithms, and not only for those that ask it to. And where it has an answer continued,
    llama-server gives back the whole answer, where vLLM gives the new part alone, which is what its_hub expects: the
    part that it sent is cut off.
    """

    usage = GenerationUsage()

    async def _agenerate(self, messages_lst: Sequence[Sequence[Any]], *arguments: Any) -> Any:
        replies = await super()._agenerate(messages_lst, *arguments[:-1], self.usage)
        for messages, reply in zip(messages_lst, replies, strict=True):
            if messages[-1].role == "assistant":
                sent, whole = messages[-1].content, reply["content"]
                if not whole.startswith(sent):
                    raise RuntimeError(f"the server continued {sent!r} with {whole!r}")
                reply["content"] = whole.removeprefix(sent)
        return replies

    async def agenerate_single(self, *arguments: Any, **options: Any) -> Any:
        return await super().agenerate_single(*arguments, **options | {"usage_accumulator": self.usage})


def project(response: str) -> str | None:
    """What self-consistency votes on: the canonical answer, as edgesearch's votes."""
    found = answer.extract(response)
    return answer.canonical(found) if found is not None else None


class Algorithms:
    """its_hub's algorithms over one server and one verifier."""

    def __init__(self, url: str, max_tokens: int, max_steps: int, temperature: float) -> None:
        """Connects and loads the verifier."""
        self.prm = TextPrm()
        self.models = {
            heat: LlamaServerModel(
                url, api_key="none", model_name="nano", temperature=heat, max_completion_tokens=max_tokens
            )
            for heat in (0.0, temperature)
        }
        self._temperature = temperature
        orchestrator = LMOrchestrator(max_concurrency=-1)
        self._steps = StepGeneration(max_steps=max_steps, step_token=DELIMITER, stop_token=BOX, temperature=temperature)
        self._voting = SelfConsistency(project, orchestrator=orchestrator)
        self._best = BestOfN(SolutionScores(self.prm), orchestrator=orchestrator)
        self._scores = StepScores(self.prm)

    def algorithm(self, name: str, n: int, kept: int | None) -> tuple[Any, LlamaServerModel]:
        """The algorithm of that name and the model that it runs on."""
        model = self.models[self._temperature]
        if name == "greedy":
            return self._voting, self.models[0.0]
        if name == "self_consistency":
            return self._voting, model
        if name == "best_of_n":
            return self._best, model
        if name == "beam":
            return BeamSearch(self._steps, self._scores, beam_width=kept or KEPT.get(n, n // 4)), model
        return ParticleFiltering(self._steps, self._scores), model

    async def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Solves a problem."""
        random.seed(order["seed"])
        np.random.seed(order["seed"])
        algorithm, model = self.algorithm(order["algorithm"], order["n"], order["kept"])
        await model.close()  # as its own `infer` does after each problem
        model.usage = GenerationUsage()
        self.prm.forget()
        verified = self.prm.verified_tokens
        started = time.perf_counter()
        try:
            response = await algorithm.ainfer(model, order["problem"], budget=order["n"])
            text, error = response["content"], None
        except Exception as failure:  # what a server or an algorithm of others can raise is a result, not our end
            text, error = "", f"{type(failure).__name__}: {failure}"[:300]
        seconds = time.perf_counter() - started
        return {
            "seconds": seconds,
            "text": text,
            "error": error,
            "calls": model.usage.num_calls,
            "completion_tokens": model.usage.completion_tokens,
            "verified_tokens": self.prm.verified_tokens - verified,
        }


async def serve(algorithms: Algorithms, replies: TextIO) -> None:
    """Answers lines until there are no more."""
    for line in sys.stdin:
        print(json.dumps(await algorithms.run(json.loads(line))), file=replies, flush=True)
    for model in algorithms.models.values():
        await model.close()


def main() -> None:
    """Serves what the command line names."""
    parser = argparse.ArgumentParser(description="Run its_hub; compare.py starts this.")
    parser.add_argument("url", help="such as http://127.0.0.1:8080/v1")
    parser.add_argument("--max-tokens", type=int, required=True)
    parser.add_argument("--max-steps", type=int, required=True)
    parser.add_argument("--temperature", type=float, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # its_hub calls methods of its own that it has deprecated
    replies, sys.stdout = sys.stdout, sys.stderr  # its_hub prints when it repeats a request
    asyncio.run(serve(Algorithms(args.url, args.max_tokens, args.max_steps, args.temperature), replies))


if __name__ == "__main__":
    main()

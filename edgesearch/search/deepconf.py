"""DeepConf: deep think with confidence. Sampling, and a vote in which sure traces count and unsure ones do not.

A trace (a whole solution) is as confident as its least confident stretch: the lowest mean, over `window` tokens in a
row, of the solver's confidence in its tokens (`Certainty.confidences`). The most confident share `keep` of the traces
votes, each with its confidence as weight.

`deepconf` (offline) draws n traces and then votes: the cost of a majority vote over n samples.

`deepconf_online` draws a few traces to their end first, takes from them the confidence that a share `keep` of them
reaches, and gives up each further trace that falls under it. All traces that reach it vote, the first ones too. Cost:
at most n solutions, usually fewer; it lasts up to two solutions, one after the other.

Where this differs from the paper:
- Traces are looked at after each step and not after each token, so one that falls is still drawn to the end of its
  step.
- `window` is 2,048 tokens in the paper, for traces of about 20,000; where a trace is shorter than the window, its
  confidence is its mean. Here it is a tenth of the traces' mean length by default, whatever that is.
- The paper keeps 10% or 90%. A tenth of 16 traces is two, which is hardly a vote, so 90% is the default.
- `warmup` is 16 traces there, of up to 512; here a quarter of n by default.
- Its stop by consensus is not part of the strategy; an early stop works with each strategy that votes.

Source: Fu et al., arXiv 2508.15260 (section 3); the percentile, the vote of those at the threshold, and that a trace
shorter than the window cannot fall as in the authors' code, github.com/facebookresearch/deepconf.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch.search.base import Expand, Search, SearchConfig, Strategy
from edgesearch.search.confidence import lowest_confidence, threshold
from edgesearch.search.early_stop import has_vote
from edgesearch.search.select import alive
from edgesearch.types import Beam, Candidate


@dataclass(frozen=True, slots=True)
class DeepConfOptions:
    """Settings of DeepConf."""

    keep: float = 0.9
    """Share of the traces that votes, the most confident ones; in (0, 1]."""
    window: int = 0
    """Tokens in a row whose mean confidence counts; 0 for a tenth of the traces' mean length."""

    def __post_init__(self) -> None:
        _check_options(self.keep, self.window)


@dataclass(frozen=True, slots=True)
class DeepConfOnlineOptions:
    """Settings of DeepConf that gives traces up while they are drawn."""

    keep: float = 0.9
    """Share of the first traces whose confidence the others must reach; in (0, 1]."""
    window: int = 0
    """Tokens in a row whose mean confidence counts; 0 for a tenth of the traces' mean length."""
    warmup: int = 0
    """Traces that are drawn first, to their end; 0 for a quarter of n."""

    def __post_init__(self) -> None:
        _check_options(self.keep, self.window)
        if self.warmup < 0:
            raise ValueError(f"warmup must be >= 0, not {self.warmup}")


def _check_options(keep: float, window: int) -> None:
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], not {keep}")
    if window < 0:
        raise ValueError(f"window must be >= 0, not {window}")


def deepconf(root: Beam, config: SearchConfig, options: DeepConfOptions) -> Search:
    """Samples n traces; `weigh` chooses."""
    del options
    yield Expand([root] * config.n, is_to_end=True)


def weigh(candidates: Sequence[Candidate], config: SearchConfig, options: DeepConfOptions) -> list[float]:
    """The confidence of each candidate that votes and is among the most confident; 0 for the others."""
    del config
    voting = [each.beam for each in candidates if has_vote(each)]
    window, bar = learn(voting, options.window, options.keep)
    return [confident(each.beam, window, bar) if has_vote(each) else 0.0 for each in candidates]


def deepconf_online(root: Beam, config: SearchConfig, options: DeepConfOnlineOptions) -> Search:
    """Samples a few traces, then draws the others step by step for as long as they are confident."""
    first = num_warmup(config, options)
    others = [root] * (config.n - first)
    traces = yield Expand([root] * first, is_to_end=True, keep=others[:1])
    window, bar = learn(traces, options.window, options.keep)
    while others:
        others = yield Expand(others)
        others = [beam for beam in alive(others) if not has_fallen(beam, window, bar)]


def weigh_online(candidates: Sequence[Candidate], config: SearchConfig, options: DeepConfOnlineOptions) -> list[float]:
    """The confidence of each candidate that reaches the threshold of the first ones; 0 for the others."""
    traces = [each.beam for each in candidates]
    window, bar = learn(traces[: num_warmup(config, options)], options.window, options.keep)
    return [confident(trace, window, bar) for trace in traces]


def learn(traces: Sequence[Beam], window: int, keep: float) -> tuple[int, float]:
    """The window in tokens, and the confidence that a share `keep` of the traces reaches; 0 where there are none."""
    if not traces:
        return 1, 0.0
    window = window or max(1, round(statistics.mean(trace.num_tokens for trace in traces) / 10))
    return window, threshold([lowest_confidence(trace, window) for trace in traces], keep)


def confident(trace: Beam, window: int, bar: float) -> float:
    """The trace's confidence where it reaches the threshold; else 0."""
    confidence = lowest_confidence(trace, window)
    return confidence if confidence >= bar else 0.0


def has_fallen(trace: Beam, window: int, bar: float) -> bool:
    """Whether a trace that goes on is under the threshold; never while it is shorter than one window."""
    return trace.num_tokens >= window and lowest_confidence(trace, window) < bar


def num_warmup(config: SearchConfig, options: DeepConfOnlineOptions) -> int:
    """Traces that are drawn to their end first; all n where there are no more."""
    return min(options.warmup or max(1, config.n // 4), config.n)


def rounds_online(config: SearchConfig, options: DeepConfOnlineOptions) -> float:
    """The first traces, and then the others."""
    return 1.0 if num_warmup(config, options) == config.n else 2.0


STRATEGIES = (
    Strategy(
        "deepconf",
        deepconf,
        "confident",
        needs_scores=False,
        is_stepwise=False,
        summary="n samples, votes of the most confident ones weighted by their confidence",
        options=DeepConfOptions,
        needs_certainty=True,
        can_stop_early=True,
        weigh=weigh,
    ),
    Strategy(
        "deepconf_online",
        deepconf_online,
        "confident",
        needs_scores=False,
        is_stepwise=True,
        summary="as deepconf, and samples that are less confident than the first ones are given up under way",
        options=DeepConfOnlineOptions,
        needs_certainty=True,
        can_stop_early=True,
        rounds=rounds_online,
        weigh=weigh_online,
    ),
)

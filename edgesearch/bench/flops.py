"""What tokens cost in FLOPs, and when a small model with search costs as much as a large one, pretraining included.

A forward pass costs about 2 FLOPs a parameter and token, a training step 6 (Kaplan et al. 2020, arXiv 2001.08361,
section 2.1). These rules leave attention over the context out, about 4 x layers x width x context FLOPs a token: a few
per cent for short contexts and large models, more for small models that read long ones. A run's own `usage` counts it;
use these rules where only counts of parameters and tokens are known, and to compare with papers that use them.

The FLOPs-matched comparison is that of Snell et al. 2024 (arXiv 2408.03314, section 7): instead of more candidates from
a small model, pretrain one with M times the parameters on the same tokens and let it answer once. How that compares
depends on R: the tokens that a model reads and writes in all its use, over the tokens of its pretraining.

Not covered: the pretraining of the verifier, experts of which only some are active (give the active parameters), speed,
memory, energy and money.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RATIOS: Mapping[str, float] = MappingProxyType({"R << 1": 0.16, "R ~ 1": 0.79, "R >> 1": 22.0})
"""Inference over pretraining tokens, as Snell et al. name and choose them."""


@dataclass(frozen=True, slots=True)
class Flops:
    """What a solve or a run spent on inference."""

    solver: int
    """FLOPs of the solver, prompts included as far as they were counted."""
    verifier: int = 0
    """FLOPs of the verifier."""

    def __post_init__(self) -> None:
        _check_at_least("solver", self.solver, 0)
        _check_at_least("verifier", self.verifier, 0)

    @property
    def total(self) -> int:
        """Both together; the only number to compare with another system's."""
        return self.solver + self.verifier


def inference(num_params: int, num_tokens: int) -> int:
    """2 N D: FLOPs to read or write so many tokens, without attention."""
    _check_at_least("num_params", num_params, 1)
    _check_at_least("num_tokens", num_tokens, 0)
    return 2 * num_params * num_tokens


def pretraining(num_params: int, num_tokens: int) -> int:
    """6 N D: FLOPs to train on so many tokens, forward and backward, without attention."""
    return 3 * inference(num_params, num_tokens)


def spent(solver_params: int, solver_tokens: int, verifier_params: int = 0, verifier_tokens: int = 0) -> Flops:
    """Inference of both models, each with all tokens it reads and writes.

    Raises:
        ValueError: a count is negative, or there are tokens of a model without parameters.
    """
    verifier = inference(verifier_params, verifier_tokens) if verifier_params or verifier_tokens else 0
    return Flops(inference(solver_params, solver_tokens), verifier)


# -- the comparison with a larger model, pretraining included --------------------------------------------------------


def matched_compute(scale: float, ratio: float) -> float:
    """How many times its own inference a small model may spend, to cost as much as one with M times the parameters.

    Pretraining and inference of the large model cost M (6 N D_pre + 2 N D_inf); the small one has paid 6 N D_pre, which
    leaves M + 3 (D_pre / D_inf) (M - 1) = M + (3 / R) (M - 1) times its 2 N D_inf (arXiv 2408.03314, section 7).

    Args:
        scale: M, the parameters of the large model over those of the small one, >= 1.
        ratio: R = D_inf / D_pre, > 0; infinity leaves pretraining out. `RATIOS` has the paper's.

    Raises:
        ValueError: `scale` is below 1 or not finite, or `ratio` is not above 0.
    """
    _check_at_least("scale", scale, 1)
    _check_ratio(ratio)
    return scale + 3 / ratio * (scale - 1)


def matched_scale(compute: float, ratio: float) -> float:
    """The inverse: the M of the large model that costs as much as so many times the small model's inference.

    Args:
        compute: inference of the small model with search over that of one answer of it, >= 1.
        ratio: R = D_inf / D_pre, > 0.

    Raises:
        ValueError: `compute` is below 1 or not finite, or `ratio` is not above 0.
    """
    _check_at_least("compute", compute, 1)
    _check_ratio(ratio)
    return (compute + 3 / ratio) / (1 + 3 / ratio)


def matched_samples(scale: float, ratio: float, verifier_share: float = 0.0) -> float:
    """How many candidates, each with its verification, cost as much as one answer of a model M times as large.

    Both models are taken to need as many tokens for an answer.

    Args:
        scale: M, >= 1.
        ratio: R, > 0.
        verifier_share: FLOPs to verify a candidate over FLOPs to draw it, >= 0. The paper's formula has 0.

    Raises:
        ValueError: a number is out of range.
    """
    _check_at_least("verifier_share", verifier_share, 0)
    return matched_compute(scale, ratio) / (1 + verifier_share)


def scale_of_samples(num_samples: float, ratio: float, verifier_share: float = 0.0) -> float:
    """The inverse of `matched_samples`: the M that so many candidates, each with its verification, cost as much as.

    Raises:
        ValueError: `num_samples` is below 1, or another number is out of range.
    """
    _check_at_least("num_samples", num_samples, 1)
    _check_at_least("verifier_share", verifier_share, 0)
    return matched_scale(num_samples * (1 + verifier_share), ratio)


def _check_at_least(name: str, value: float, least: int) -> None:
    if not (value >= least and math.isfinite(value)):
        raise ValueError(f"{name} is {value}; it must be finite and >= {least}")


def _check_ratio(ratio: float) -> None:
    if not ratio > 0:
        raise ValueError(f"ratio is {ratio}; it must be > 0")

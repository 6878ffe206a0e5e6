r"""Budget forcing: n samples that are made to think longer, or to come to an end in time.

Where a solver would end its turn, `extension` is written instead, as the beginning of a new step, and it thinks on; so
`extensions` times. Where it has drawn `max_thinking_tokens`, or has only `answer_tokens` left of its limit, `closing`
is written, and it states its answer. Nothing is extended after that. With `extensions=0` and an empty `closing` it is
majority voting, and at n=1 one sample.

The source has a solver that thinks between two marks of its own, and writes the second mark or keeps it away. The
solvers here think in the solution itself, so it is the end of turn that is replaced, and the closing is the beginning
of an answer line that `edgesearch.answer` reads. An extended solution may state several answers: the last one in a box
counts, and one in words only where there is no box. The source draws one solution; here n are drawn and vote.

The gains were shown with a 32B solver trained on long thoughts. To the built-in nano models "Wait" means nothing: what
they write after it is mostly wrong, and so is then their answer.

Cost: n solutions drawn, each longer by what its extensions bring; nothing is verified.

Source: Muennighoff et al., "s1: Simple test-time scaling", arXiv 2501.19393 (section 3).
"""

from dataclasses import dataclass

from edgesearch.search.base import Expand, Search, SearchConfig, Strategy
from edgesearch.types import Beam, Forcing

_MAX_EXTENSIONS = 64


@dataclass(frozen=True, slots=True)
class BudgetForcingOptions:
    """Settings of budget forcing."""

    extensions: int = 1
    """Times that an end of turn is replaced; in [0, 64]."""
    extension: str = "Wait"
    """What begins the step that stands there instead."""
    closing: str = r"The answer is \boxed{"
    """What begins the last step of a solution that has to end; empty for none."""
    max_thinking_tokens: int = 0
    """Tokens after which a solution has to end; 0 for the solver's own limit alone."""
    answer_tokens: int = 32
    """Tokens of the solver's limit that are kept back for the closing and the answer; >= 1, and best far below it."""

    def __post_init__(self) -> None:
        if not 0 <= self.extensions <= _MAX_EXTENSIONS:
            raise ValueError(f"extensions must be in [0, {_MAX_EXTENSIONS}], not {self.extensions}")
        if self.extensions and not self.extension.strip():
            raise ValueError("extension must not be blank where extensions is above 0")
        if self.max_thinking_tokens < 0:
            raise ValueError(f"max_thinking_tokens must be >= 0, not {self.max_thinking_tokens}")
        if self.answer_tokens < 1:
            raise ValueError(f"answer_tokens must be >= 1, not {self.answer_tokens}")
        if self.max_thinking_tokens and not self.closing.strip():
            raise ValueError("closing must not be blank where max_thinking_tokens is above 0")

    def forcing(self, step_delimiter: str) -> Forcing:
        """What an engine is told; both texts begin a step of their own."""
        return Forcing(
            extension=step_delimiter + self.extension if self.extensions else "",
            num_extensions=self.extensions,
            closing=step_delimiter + self.closing if self.closing.strip() else "",
            closing_tokens=self.answer_tokens,
            max_thinking_tokens=self.max_thinking_tokens,
        )


def rounds(config: SearchConfig, options: BudgetForcingOptions) -> float:
    """Each extension is taken to be as long as a solution."""
    del config
    return 1.0 + options.extensions


def budget_forcing(root: Beam, config: SearchConfig, options: BudgetForcingOptions) -> Search:
    """Samples n solutions with that forcing."""
    yield Expand([root] * config.n, is_to_end=True, forcing=options.forcing(root.prompt.step_delimiter))


STRATEGIES = (
    Strategy(
        "budget_forcing",
        budget_forcing,
        "majority",
        needs_scores=False,
        is_stepwise=False,
        summary="n samples that are made to think on, or to answer in time; the answer most of them reach",
        options=BudgetForcingOptions,
        can_stop_early=True,
        rounds=rounds,
    ),
)

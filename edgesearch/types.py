"""The data that travel: Problem -> Prompt -> Step -> Beam -> Candidate -> Solution.

All are frozen; a new step makes a new `Beam`. `Problem` has no field for the target answer, so that leaking it into a
search is a type error. Numbers carry their unit in the name. The glossary is in the README.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SCHEMA_VERSION = 1

Finish = Literal["stop", "step", "length", "deadline"]
"""Why text ended: end of turn, step delimiter, a token limit, or the clock. Only `stop` means finished."""

Aggregator = Literal["last", "min", "prod", "mean"]
"""How step scores become one score."""
AGGREGATORS: tuple[Aggregator, ...] = ("last", "min", "prod", "mean")
StopReason = Literal["proof", "passed", "dominance", "settled", "confidence", "no_time"]
"""Why a search gave seconds back.

`proof`: an answer is proven right. `passed`: a program passes all visible tests. `dominance`: nothing that could still
be drawn in time can change the answer. `settled`: more samples would hardly change it. `confidence`: it is as likely
right as was asked for. `no_time`: no further solution could have been finished in time.
"""
CHECKS: tuple[str, ...] = ("arithmetic",)
"""Names of the exact checks (verifiers/checks.py) that a manifest may give."""

_ids = itertools.count(1)


def next_id() -> int:
    """A number never given before in this process; names a node of a search tree."""
    return next(_ids)


@dataclass(frozen=True, slots=True)
class CodeSpec:
    """What is asked for where the answer is a Python program; nothing in it only grades."""

    functions: tuple[str, ...]
    """Names that the program must define; never empty, and the first is the one that is asked for."""
    prefix: str = ""
    """Source that a bare body goes on from: imports, helpers, the signature and its docstring; empty for none."""
    tests: tuple[str, ...] = ()
    """Visible tests: statements of Python that call the functions and raise where a program is wrong."""

    def __post_init__(self) -> None:
        if not self.functions or not all(name.isidentifier() for name in self.functions):
            raise ValueError(f"functions must be one or more names of Python functions, not {self.functions!r:.80}")


@dataclass(frozen=True, slots=True)
class Problem:
    """The question and its id; no answer."""

    text: str
    id: str = ""
    code: CodeSpec | None = None
    """What the program must be like where one is the answer; None for a final answer."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a solver is asked; an engine renders it with its own chat template."""

    user: str
    """The problem as the user turn; untrusted text, never parsed for control tokens."""
    system: str = ""
    """The system turn; empty for none."""
    step_delimiter: str = "\n\n"
    """Text that ends a step."""
    attempts: tuple[str, ...] = ()
    """Earlier solutions that it shows, oldest first, as a model wrote them; the next one is to revise them."""
    base: int | None = None
    """The id of the prompt that it grew from, so that an engine can go on from what it holds of that."""
    code: CodeSpec | None = None
    """As in `Problem`: how a solution's answer is read."""
    asks_tests: bool = False
    """Whether it asks for tests of the program that the prompt `base` asks for, and not for a solution."""
    id: int = field(default_factory=next_id)
    """The root node of this problem's search tree."""

    def __post_init__(self) -> None:
        if not self.step_delimiter:
            raise ValueError("step_delimiter must not be empty; every token would be a step")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn: temperature first, then top-k, top-p, min-p (vLLM's order)."""

    temperature: float = 0.8
    """0 is greedy."""
    top_k: int = 40
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with this probability; 1 keeps all."""
    min_p: float = 0.0
    """Keep tokens with at least this share of the likeliest token's probability; 0 keeps all."""

    def __post_init__(self) -> None:
        checks = {
            "temperature": (0 <= self.temperature <= 100, "in [0, 100]", self.temperature),
            "top_k": (self.top_k >= 0, ">= 0", self.top_k),
            "top_p": (0 < self.top_p <= 1, "in (0, 1]", self.top_p),
            "min_p": (0 <= self.min_p < 1, "in [0, 1)", self.min_p),
        }
        for name, (is_valid, allowed, value) in checks.items():
            if not is_valid:
                raise ValueError(f"{name} must be {allowed}, not {value}")


@dataclass(frozen=True, slots=True)
class Forcing:
    """Budget forcing of one draft: what is written for the solver (Muennighoff et al., arXiv 2501.19393, section 3)."""

    extension: str = ""
    """Written in place of the end of turn, `num_extensions` times: the solver thinks on."""
    num_extensions: int = 0
    closing: str = ""
    """Written once the draft has `closing_tokens` left of its limit: the solver states its answer."""
    closing_tokens: int = 0
    """Kept back for the closing and what follows it."""
    max_thinking_tokens: int = 0
    """Tokens after which the closing is written though more were left; 0 for no such limit."""

    def __post_init__(self) -> None:
        if self.num_extensions < 0:
            raise ValueError(f"num_extensions must be >= 0, not {self.num_extensions}")
        if self.num_extensions and not self.extension:
            raise ValueError("extension must not be empty where num_extensions is above 0")
        for name in ("closing_tokens", "max_thinking_tokens"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, not {getattr(self, name)}")

    def closes(self, drawn: int, max_tokens: int) -> bool:
        """Whether a draft that has drawn so many tokens of its limit is to be closed now."""
        if not self.closing:
            return False
        is_long = 0 < self.max_thinking_tokens <= drawn
        return is_long or max_tokens - drawn <= self.closing_tokens


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure the solver was of each token of a step, by its distribution at temperature 1 before any filter.

    One number for each of the step's tokens; those that were written for the solver (`Forcing`) are among them.
    """

    logprobs: tuple[float, ...]
    """Natural-log probability of the token."""
    entropies: tuple[float, ...]
    """Of the whole distribution, in nats."""
    margins: tuple[float, ...]
    """Probability of the likeliest token less that of the second."""
    confidences: tuple[float, ...]
    """Minus the mean natural-log probability of the 20 likeliest tokens (Fu et al., arXiv 2508.15260, section 2)."""

    def plus(self, more: "Certainty") -> "Certainty":
        """Both, one after the other."""
        return Certainty(
            self.logprobs + more.logprobs,
            self.entropies + more.entropies,
            self.margins + more.margins,
            self.confidences + more.confidences,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """Text up to and with the step delimiter, or to the end of the solution; the unit of search."""

    text: str
    """As written, with its trailing delimiter, without the end-of-turn token."""
    token_ids: tuple[int, ...]
    """As drawn, end-of-turn token included; empty for engines that do not tell."""
    logprob: float
    """Natural-log probability of the step under the solver at temperature 1, summed over its tokens."""
    finish: Finish
    id: int = field(default_factory=next_id)
    """This node of the search tree: engines and verifiers keep their KV under it."""
    num_folded: int = 0
    """Tokens at its end that are a blank ending, drawn after its delimiter; its score is read before them."""
    certainty: Certainty | None = None
    """Of its tokens; None unless it was asked for."""


@dataclass(frozen=True, slots=True)
class Beam:
    """A partial or finished solution."""

    prompt: Prompt
    steps: tuple[Step, ...] = ()
    scores: tuple[float, ...] = ()
    """One verifier score in [0, 1] per verified step, in order; shorter than `steps` until judged."""
    proof: bool | None = None
    """Whether its answer is right, by an exact check of the problem's text; None where none can tell. Not a score."""

    @property
    def node(self) -> int:
        """The id of the last step, or of the prompt."""
        return self.steps[-1].id if self.steps else self.prompt.id

    @property
    def finish(self) -> Finish:
        """Why the last step ended; `step` for the empty beam, which can go on."""
        return self.steps[-1].finish if self.steps else "step"

    @property
    def text(self) -> str:
        """All steps, as written."""
        return "".join(step.text for step in self.steps)

    @property
    def num_tokens(self) -> int:
        """Tokens drawn so far."""
        return sum(len(step.token_ids) for step in self.steps)

    @property
    def logprob(self) -> float:
        """Natural-log probability of all steps under the solver."""
        return sum(step.logprob for step in self.steps)

    @property
    def is_alive(self) -> bool:
        """Whether it can grow by another step."""
        return self.finish == "step"

    @property
    def num_unjudged_tokens(self) -> int:
        """Tokens of the steps that have no score yet."""
        return sum(len(step.token_ids) for step in self.steps[len(self.scores) :])

    @property
    def is_judged(self) -> bool:
        """Whether every step has its score."""
        return len(self.scores) == len(self.steps)

    def grown(self, steps: tuple[Step, ...]) -> "Beam":
        """This beam with more steps.

        A blank ending (end of turn right after a delimiter, or after several) is folded into the step before it: an
        empty step would have a score of its own, and with the aggregator `last` that score would steer the search.
        """
        grown = list(self.steps)
        for step in steps:
            is_blank_end = step.finish != "step" and not step.text.replace(self.prompt.step_delimiter, "").strip()
            if is_blank_end and grown:
                last = grown[-1]
                ids, logprob = last.token_ids + step.token_ids, last.logprob + step.logprob
                num_folded = last.num_folded + len(step.token_ids)
                both = last.certainty.plus(step.certainty) if last.certainty and step.certainty else None
                grown[-1] = Step(last.text, ids, logprob, step.finish, num_folded=num_folded, certainty=both)
            else:
                grown.append(step)
        return Beam(self.prompt, tuple(grown), self.scores)

    def judged(self, scores: tuple[float, ...]) -> "Beam":
        """This beam with the scores of its steps that had none.

        Raises:
            ValueError: not exactly one score per step.
        """
        if len(self.scores) + len(scores) != len(self.steps):
            raise ValueError(
                f"{len(self.steps)} steps need {len(self.steps)} scores, not {len(self.scores)} + {len(scores)}"
            )
        return Beam(self.prompt, self.steps, self.scores + scores, self.proof)


@dataclass(frozen=True, slots=True)
class Usage:
    """What was spent on one problem; the verifier's share is part of it."""

    prompt_tokens: int = 0
    """Length of the rendered prompt."""
    prefilled_tokens: int = 0
    """Prompt tokens the solver decoded; equals `prompt_tokens` when nothing was prefilled twice.

    More where solutions were revised: their prompts show earlier attempts.
    """
    reused_tokens: int = 0
    """Context tokens that drafts took over from the KV cache instead of decoding them again."""
    decoded_tokens: int = 0
    """Tokens drawn, end of turn included."""
    verified_tokens: int = 0
    """Solution tokens the verifier read."""
    verifier_prompt_tokens: int = 0
    """Prompt tokens the verifier read."""
    solver_flops: float = 0.0
    verifier_flops: float = 0.0
    decode_passes: int = 0
    """Passes of the engine while this problem had drafts under way; those of other problems shared them."""
    verifier_calls: int = 0
    """Calls of the verifier that judged beams of this problem."""
    kv_cells: int = 0
    """Most KV cells that were in use together."""
    peak_bytes: int | None = None
    """Peak resident memory of the process; None where the system does not tell."""


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Which models answered, and where they ran."""

    solver: str
    verifier: str | None
    solver_device: str = "cpu"
    verifier_device: str | None = None
    """None without a verifier that runs weights."""
    check: str | None = None
    """The exact check that answers went through; None without one."""


@dataclass(frozen=True, slots=True)
class StrategyUsed:
    """The strategy as it ran, after the planner and any fallback."""

    name: str
    n: int
    """Beams alive together, or samples."""
    m: int
    """Children per kept beam: n/m beams are kept. 1 for strategies without branching."""
    aggregator: str
    """last, min, prod or mean."""
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """The strategy's own settings."""


@dataclass(frozen=True, slots=True)
class WaveUsed:
    """One search of those that a solve was made of."""

    strategy: StrategyUsed
    reason: str
    """Why it was run, in one sentence."""
    started_s: float
    """Seconds after the problem was accepted."""
    predicted_s: float
    """How long it was expected to last."""


@dataclass(frozen=True, slots=True)
class PlanUsed:
    """What the planner did, and what it expected."""

    waves: tuple[WaveUsed, ...]
    """In the order in which they began; never empty."""
    least_s: float
    """Seconds that one greedy solution was expected to take: the smallest budget that makes sense."""
    difficulty: int | None = None
    """Bin of the problem by its first drafts, 1 (easiest) to 5; None where no policy says."""
    policy: str | None = None
    """What the choices were taken from; None without a policy."""

    @property
    def reason(self) -> str:
        """Why it went as it did, in one sentence."""
        return self.waves[0].reason


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finished or cut-off solution and its extracted answer."""

    beam: Beam
    answer: str | None
    score: float | None
    """Aggregated verifier score in [0, 1]; None when not verified."""
    finished_s: float | None = None
    """Seconds from the accepted problem to its last token, also where it was cut off; None where not told."""
    weight: float | None = None
    """What its vote weighs, >= 0, where the strategy weighs votes by how sure the solver was; else None."""


@dataclass(frozen=True, slots=True)
class VisibleTests:
    """How a program did in the tests that its problem shows. They are no proof: others may still find it wrong."""

    num_tests: int
    """All there are; >= 1."""
    num_passed: int
    """In [0, num_tests]."""
    sandbox: str
    """What the program ran in; `none` where nothing kept it from the user's files and network."""

    def __post_init__(self) -> None:
        if self.num_tests < 1:
            raise ValueError(f"num_tests must be >= 1, not {self.num_tests}")
        if not 0 <= self.num_passed <= self.num_tests:
            raise ValueError(f"num_passed must be in [0, {self.num_tests}], not {self.num_passed}")

    @property
    def is_passed(self) -> bool:
        """Whether it passes all of them."""
        return self.num_passed == self.num_tests


@dataclass(frozen=True, slots=True)
class Solution:
    """What `solve` returns."""

    answer: str | None
    """The final answer; None means unanswered."""
    text: str
    """The chosen solution."""
    finish: Finish
    confidence: float | None
    """That the answer is right, in [0, 1]; None where nothing says.

    A probability where `is_calibrated`, else the share of the (score-weighted) vote that the answer holds among all
    candidates. 1 where the answer is proven right and 0 where it is proven wrong.
    """
    budget_s: float
    wall_s: float
    """From the accepted problem to the chosen answer."""
    load_s: float
    """Loading and measuring the models; not part of the budget."""
    strategy: StrategyUsed
    models: ModelNames
    usage: Usage
    warnings: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    steps: tuple[str, ...] = ()
    """The chosen solution's steps."""
    scores: tuple[float, ...] = ()
    """The verifier's score of each of those steps; empty when not verified.

    Fewer where the rest was not verified in time, or did not matter any more because the answer was proven.
    """
    id: str = ""
    proof: bool | None = None
    """Whether the answer is right, by an exact check of the problem's text; None where none can tell.

    A search ends as soon as it has an answer that is proven right.
    """
    early_stop: "StopReason | None" = None
    """Why seconds were given back; None where the search ran to its deadline, or to the end of what was asked for."""
    is_calibrated: bool = False
    """Whether `confidence` is a probability that was fitted to graded answers (planner/confidence.py)."""
    agreement: float | None = None
    """Share of the vote that the answer holds, in [0, 1]; None with fewer than two answers to compare."""
    plan: "PlanUsed | None" = None
    """What the planner did; None where nothing was planned."""
    tests: VisibleTests | None = None
    """What became of the visible tests; None where the answer is no program, or was not tried."""

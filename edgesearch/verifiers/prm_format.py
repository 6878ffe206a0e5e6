"""How a process reward model wants a solution written, and where its scores are read.

The models of the field differ in both, and a score that is read one position off is a plausible number without meaning:

    math-shepherd   PROBLEM STEP ки / STEP ки         at each " ки": P("+") against P("-")
    rlhflow         [user] PROBLEM STEP [assistant] + [user] STEP [assistant] ...
                                                      before each "+", where the assistant begins: P("+") against P("-")
    qwen-prm        [system] [user] PROBLEM [assistant] STEP<extra_0>STEP<extra_0>
                                                      at each <extra_0>: the hidden state, through a head
    skywork         <bos>PROBLEM / STEP / STEP /      at each line's end: the hidden state, through a head
    plain           PROBLEM // STEP // STEP           at each step's last token: the hidden state, through a head

(`/` is a line's end.) A score is always read at the last token that a step puts in: the separator's, the assistant's
header, or the step's own.

A format of one's own is a TOML file beside the GGUF, `model.toml` for `model.gguf`: the fields of `PrmFormat`, and
`preset`, the format that it starts from:

    preset = "qwen-prm"
    separator = "<|step|>"

Not covered: tokens (prm_text.py), heads (prm_readout.py). Steps are given to the model as the solver wrote them;
math-shepherd was trained on steps that begin with "Step 1:", so a solver does well to be told to number them.

Sources: peiyi9979/math-shepherd-mistral-7b-prm (model card) and Wang et al., arXiv 2312.08935 (the minimum of all
steps); RLHFlow/RLHF-Reward-Modeling, math-rm/prm_evaluate.py (the mean); Qwen/Qwen2.5-Math-PRM-7B (model card) and
Zhang et al., arXiv 2501.07301, section 2.2 (the product); SkyworkAI/skywork-o1-prm-inference, model_utils/io_utils.py
(no rule for whole solutions is published: the last step counts).
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from edgesearch.errors import ModelNotFound, UsageError
from edgesearch.types import AGGREGATORS, Aggregator

Layout = Literal["text", "assistant", "turns"]
"""One text; the solution as one turn of the assistant; or each step as a turn of the user, which is answered."""


@dataclass(frozen=True, slots=True)
class PrmFormat:
    """How the problem and the steps become one text, and what is read from it."""

    layout: Layout = "text"
    separator: str = ""
    """Put after each step, and where its score is read: a special token's name, or text. Empty: the step's last token.

    None for `turns`, where the score is read at the end of the assistant's header.
    """
    good: str = ""
    """The token for a right step; the score is its probability against `bad`. Empty: a head gives the score.

    In `turns` it is also what the assistant has answered to all earlier steps.
    """
    bad: str = ""
    """The token for a wrong step."""
    system: str = ""
    """The system turn of the two layouts that are chats; empty for none."""
    problem_suffix: str = ""
    """Text right after the problem; for `text` only."""
    first_prefix: str = ""
    """Text before the first step."""
    next_prefix: str = ""
    """Text before each other step."""
    is_bos_forced: bool = False
    """Whether the text begins with the beginning-of-sequence token even where the vocabulary does not ask for it."""
    aggregator: Aggregator = "last"
    """How its authors sum up a solution's step scores."""

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ValueError(f"layout must be one of {', '.join(get_args(Layout))}, not {self.layout!r}")
        if self.aggregator not in AGGREGATORS:
            raise ValueError(f"aggregator must be one of {', '.join(AGGREGATORS)}, not {self.aggregator!r}")
        if bool(self.good) != bool(self.bad) or (self.good and self.good == self.bad):
            raise ValueError(f"good and bad must be two tokens, or both empty, not {self.good!r} and {self.bad!r}")
        if self.separator and not self.separator.strip(" "):
            raise ValueError("separator must hold more than spaces, which texts are full of")
        if self.layout == "turns" and (self.separator or not self.good):
            raise ValueError("layout turns reads the assistant's answer: it needs good and bad, and no separator")
        if self.layout == "text" and self.system:
            raise ValueError("system must be empty for layout text, which has no turns; put it into first_prefix")
        if self.layout != "text" and self.problem_suffix:
            raise ValueError("problem_suffix is for layout text; the chat template ends the problem in the others")

    @property
    def needs_head(self) -> bool:
        """Whether scores come from hidden states, through a head file."""
        return not self.good


PRESETS: Mapping[str, PrmFormat] = {
    "math-shepherd": PrmFormat(
        separator=" ки", good="+", bad="-", first_prefix=" ", next_prefix="\n", aggregator="min"
    ),
    "rlhflow": PrmFormat("turns", good="+", bad="-", first_prefix=" ", aggregator="mean"),
    "qwen-prm": PrmFormat(
        "assistant",
        separator="<extra_0>",
        system="Please reason step by step, and put your final answer within \\boxed{}.",
        aggregator="prod",
    ),
    "skywork": PrmFormat(separator="\n", problem_suffix="\n", is_bos_forced=True),
    "plain": PrmFormat(problem_suffix="\n\n", next_prefix="\n\n"),
}
"""The formats that have a name."""


def preset(name: str) -> PrmFormat:
    """The format of that name.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown format {name!r} of a process reward model; known are {', '.join(PRESETS)}")
    return PRESETS[name]


def beside(model: Path) -> PrmFormat:
    """The format in the TOML file beside a model file.

    Raises:
        ModelNotFound: there is none.
        UsageError: it is not TOML, or not a format; says which key.
    """
    path = model.with_suffix(".toml")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        table = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"nothing says how {model.name} reads a solution: name a format ({', '.join(PRESETS)}), or write {path}"
        ) from error
    except OSError as error:
        raise ModelNotFound(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise UsageError(f"{path} is not a TOML file ({error}); correct it") from error
    return from_table(table, str(path))


def from_table(table: Mapping[str, Any], place: str) -> PrmFormat:
    """The format that a TOML table describes: the fields of `PrmFormat`, and the `preset` to start from.

    Args:
        table: the table.
        place: where it stands; begins every message.

    Raises:
        UsageError: a key that is not known or a value that cannot be used.
    """
    fields = {field.name: field.type for field in dataclasses.fields(PrmFormat)}
    for key, value in table.items():
        if key != "preset" and key not in fields:
            raise UsageError(f"{place}: unknown key {key!r}{_guess(key, [*fields, 'preset'])}")
        wanted, kind = (bool, "true or false") if key == "is_bos_forced" else (str, "a text")
        if not isinstance(value, wanted):
            raise UsageError(f"{place}: {key} must be {kind}, not {value!r}")
    start = preset(table["preset"]) if "preset" in table else PrmFormat()
    try:
        return dataclasses.replace(start, **{key: value for key, value in table.items() if key != "preset"})
    except ValueError as error:
        raise UsageError(f"{place}: {error}") from error


def _guess(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"

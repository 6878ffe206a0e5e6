r"""Generated problems in plain arithmetic: the domain of the built-in nano models.

    problem     Ana keeps 59 cards. Dan owns 3 times as many as Ana. Gina has 15 more cards than Dan does. Jack has 13
                more than Dan. How many cards does Gina hold in the end?
    steps       ("Dan=59*3=177", "Gina=177+15=192")
    target      "192"
    family      "relations"
    level       2
    structure   "relations times more distract one"
    id          "arith-mixed-0-000011"

and its solution text, one step a paragraph, which is what the nano models write:

    Dan=59*3=177\n\nGina=177+15=192\n\nThe answer is \boxed{192}

Ten families, a file each, five levels. In three of them (`countdown`, `subset`, `equation`) an answer can be checked
exactly from the problem alone; in the others only a learned verifier can tell. Since the generator knows each step, a
solution's steps can be labelled by program: so was the built-in verifier trained. As a benchmark the set needs no
download.

What it is not: a test of language. The sentences come from templates in a vocabulary of some 300 words, so a model that
solves these problems need not understand any other; `out_of_domain` says whether a text looks like one of them.
"""

from edgesearch.tasks.arithmetic.check import check, is_checkable
from edgesearch.tasks.arithmetic.domain import known_words, out_of_domain
from edgesearch.tasks.arithmetic.generator import (
    EXACT_FAMILIES,
    FAMILIES,
    LEVELS,
    SPLITS,
    generate,
    held_out,
    is_held_out,
    is_reserved_structure,
    training_problems,
)
from edgesearch.tasks.arithmetic.labels import grade, label_steps
from edgesearch.tasks.arithmetic.sample import STEP_DELIMITER, ArithmeticSample, solution_text

__all__ = [
    "EXACT_FAMILIES",
    "FAMILIES",
    "LEVELS",
    "SPLITS",
    "STEP_DELIMITER",
    "ArithmeticSample",
    "check",
    "generate",
    "grade",
    "held_out",
    "is_checkable",
    "is_held_out",
    "is_reserved_structure",
    "known_words",
    "label_steps",
    "out_of_domain",
    "solution_text",
    "training_problems",
]

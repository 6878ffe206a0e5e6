r"""Equations in one unknown with a whole solution. Checked exactly, by putting the answer in.

    3*x+7=52. What whole number is x?
    52-7=45, x=45/3=15; 15
    x*x+3*x=40. What whole number is x?
    5*5=25, 3*5=15, 25+15=40; 5

Levels 1 to 3 are solved for x; from level 4 the solution guesses x and puts it in, which takes search. Sums, products
and sides are written in either order, so that a form is made of choices that each are seen in many others.
"""

from __future__ import annotations

from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft

LARGEST = {1: 40, 2: 40, 3: 60, 4: 12, 5: 20}
QUESTION = (
    "{equation}. [What|Which] [whole number|positive whole number] "
    "[is x|does x stand for|is the value of x|solves this]?"
)


def _plain(draft: Draft, x: int) -> str:
    """One operation."""
    kind = draft.rng.choice(("x+a", "x-a", "a*x", "a+x", "x*a"))
    draft.tag(kind, "plain")
    a = draft.rng.randint(2, 9) if "*" in kind else draft.change()
    value = {"x+a": x + a, "a+x": x + a, "x-a": x - a, "a*x": a * x, "x*a": a * x}[kind]
    if value < 1:
        raise DeadEnd
    draft.compute(value, {"x+a": "-", "a+x": "-", "x-a": "+", "a*x": "/", "x*a": "/"}[kind], a, "x")
    return f"{kind.replace('a', str(a))}={value}"


def _linear(draft: Draft, x: int) -> str:
    """a*x+b=c or a*x-b=c, at level 2 also k times that, at level 3 c*x+d instead of c."""
    rng = draft.rng
    a, b = rng.randint(2, 9), draft.change()
    sign = rng.choice("+-")
    draft.tag(f"linear{sign}")
    value = a * x + b if sign == "+" else a * x - b
    if value < 1:
        raise DeadEnd
    left = _sum(draft, _product(draft, a), b) if sign == "+" else f"{_product(draft, a)}-{b}"
    undo = "-" if sign == "+" else "+"
    if draft.level == 2:
        equation = f"{left}={value}"
        if draft.chance(0.4):
            k = rng.randint(2, 5)
            draft.tag(rng.choice(("scaled front", "scaled back")))
            scaled = f"{k}*({left})" if draft.tags[-1] == "scaled front" else f"({left})*{k}"
            equation = f"{scaled}={k * value}"
            draft.compute(k * value, "/", k)
        draft.compute(draft.compute(value, undo, b), "/", a, "x")
        return equation
    c = rng.randint(1, a - 1)
    d = value - c * x
    if d < 1 or a - c < 2:
        raise DeadEnd
    draft.tag("both")
    constant = draft.compute(d, undo, b)
    factor = draft.compute(a, "-", c)
    draft.compute(constant, "/", factor, "x")
    return f"{left}={_sum(draft, _product(draft, c) if c > 1 else 'x', d)}"


def _guess(draft: Draft, x: int) -> str:
    """A quadratic or a product, which the solution checks for a guessed x."""
    rng = draft.rng
    kind = rng.choice(("square+", "square-", "product", "sum of products"))
    a, b = rng.randint(2, 9 if draft.level == 4 else 15), rng.randint(1, 9 if draft.level == 4 else 15)
    draft.tag(kind)
    if kind.startswith("square"):
        sign = kind[-1]
        if sign == "-" and x <= a:
            raise DeadEnd
        draft.tag(rng.choice(("alone", "linear")))
        square = draft.compute(x, "*", x)
        if draft.tags[-1] == "alone":
            value, other = draft.compute(square, sign, a), str(a)
        else:
            value, other = draft.compute(square, sign, draft.compute(a, "*", x)), _product(draft, a)
        return f"{_sum(draft, 'x*x', other) if sign == '+' else f'x*x-{other}'}={value}"
    if kind == "product":
        draft.tag(rng.choice(("first", "second")))
        value = draft.compute(x, "*", draft.compute(x, "+", b))
        left = f"x*({_sum(draft, 'x', b)})" if draft.tags[-1] == "first" else f"({_sum(draft, 'x', b)})*x"
        return f"{left}={value}"
    draft.tag("two")
    first, second = draft.compute(x, "+", a), draft.compute(x, "+", b)
    value = draft.compute(first, "*", second)
    return f"({_sum(draft, 'x', a)})*({_sum(draft, 'x', b)})={value}"


def _product(draft: Draft, factor: int) -> str:
    """`factor` times x, written either way."""
    draft.tag("back" if draft.chance(0.4) else "front")
    return f"x*{factor}" if draft.tags[-1] == "back" else f"{factor}*x"


def _sum(draft: Draft, left: str, right: int | str) -> str:
    """A sum, written either way."""
    draft.tag("swapped" if draft.chance(0.4) else "straight")
    return f"{right}+{left}" if draft.tags[-1] == "swapped" else f"{left}+{right}"


def write(draft: Draft) -> int:
    x = draft.rng.randint(2, LARGEST[draft.level])
    equation = {1: _plain, 2: _linear, 3: _linear}.get(draft.level, _guess)(draft, x)
    if draft.chance(0.4):
        draft.tag("turned")
        equation = "=".join(reversed(equation.split("=")))
    else:
        draft.tag("ask")
    draft.say(QUESTION, equation=equation)
    return x

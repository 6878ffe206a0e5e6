r"""Equations in one unknown with a whole solution. Checked exactly, by putting the answer in.

    3*x+7=52. What whole number is x?
    52-7=45, x=45/3=15; 15
    x*x+3*x=40. What whole number is x?
    5*5=25, 3*5=15, 25+15=40; 5

Levels 1 to 3 are solved for x; from level 4 the solution guesses x and puts it in, which takes search.
"""

from __future__ import annotations

from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft

LARGEST = {1: 40, 2: 40, 3: 60, 4: 12, 5: 20}
QUESTION = (
    "{equation}. [What|Which] [whole number|positive whole number] "
    "[is x|does x stand for|is the value of x|solves this]?"
)


def _linear(draft: Draft, x: int) -> str:
    """a*x+b=c, a*x-b=c, and at level 3 a*x+b=c*x+d."""
    rng = draft.rng
    if draft.level == 1:
        kind = rng.choice(("x+a", "x-a", "a*x", "a+x", "x*a"))
        draft.tag(kind, "plain")
        a = rng.randint(2, 9) if "*" in kind else draft.change()
        value = {"x+a": x + a, "a+x": x + a, "x-a": x - a, "a*x": a * x, "x*a": a * x}[kind]
        if value < 1:
            raise DeadEnd
        draft.compute(value, {"x+a": "-", "a+x": "-", "x-a": "+", "a*x": "/", "x*a": "/"}[kind], a, "x")
        return f"{kind.replace('a', str(a))}={value}"
    a, b = rng.randint(2, 9), draft.change()
    sign = rng.choice("+-")
    draft.tag(f"linear{sign}")
    is_swapped = sign == "+" and rng.random() < 0.4
    draft.tag("swapped" if is_swapped else "straight")
    left = f"{b}+{a}*x" if is_swapped else f"{a}*x{sign}{b}"
    value = a * x + b if sign == "+" else a * x - b
    if value < 1:
        raise DeadEnd
    if draft.level == 2:
        kind = rng.choice(("plain", "turned", "scaled"))
        draft.tag(kind)
        equation = f"{left}={value}" if kind != "turned" else f"{value}={left}"
        if kind == "scaled":
            k = rng.randint(2, 5)
            equation = f"{k}*({left})={k * value}"
            draft.compute(k * value, "/", k)
        draft.compute(draft.compute(value, "-" if sign == "+" else "+", b), "/", a, "x")
        return equation
    c = rng.randint(1, a - 1)
    d = value - c * x
    if d < 1 or a - c < 2:
        raise DeadEnd
    draft.tag("both")
    constant = draft.compute(d, "-" if sign == "+" else "+", b)
    factor = draft.compute(a, "-", c)
    draft.compute(constant, "/", factor, "x")
    return f"{left}={c}*x+{d}" if c > 1 else f"{left}=x+{d}"


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
        if rng.random() < 0.5:
            draft.tag("alone")
            value = draft.compute(draft.compute(x, "*", x), sign, a)
            return f"x*x{sign}{a}={value}"
        draft.tag("linear")
        square = draft.compute(x, "*", x)
        value = draft.compute(square, sign, draft.compute(a, "*", x))
        return f"x*x{sign}{a}*x={value}"
    if kind == "product":
        draft.tag(rng.choice(("first", "second")))
        value = draft.compute(x, "*", draft.compute(x, "+", b))
        return f"x*(x+{b})={value}" if draft.tags[-1] == "first" else f"(x+{b})*x={value}"
    draft.tag("two")
    first, second = draft.compute(x, "+", a), draft.compute(x, "+", b)
    return f"(x+{a})*(x+{b})={draft.compute(first, '*', second)}"


def write(draft: Draft) -> int:
    x = draft.rng.randint(2, LARGEST[draft.level])
    equation = (_linear if draft.level < 4 else _guess)(draft, x)
    if draft.level > 2 and draft.chance(0.4):
        draft.tag("turned")
        equation = "=".join(reversed(equation.split("=")))
    else:
        draft.tag("ask")
    draft.say(QUESTION, equation=equation)
    return x

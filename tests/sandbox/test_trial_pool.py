"""What a trial makes of programs and tests: the ordinary ones, the odd ones, and those that are broken."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.errors import SandboxUnavailable, UsageError
from edgesearch.sandbox.base import MIB
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import LIMITS, MAX_TESTS_BYTES, Trial, TrialResult
from edgesearch.sandbox.worker_tiers import WORKER_TIERS

DOUBLE = "def f(n):\n    return 2 * n\n"
ECHO = "def f(x):\n    return x\n"
QUICK = dataclasses.replace(LIMITS, wall_s=10.0, cpu_s=1.0)


def strongest(**how: Any) -> TrialPool:
    try:
        return TrialPool(**how)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pool() -> Iterator[TrialPool]:
    with strongest(num_workers=2, limits=QUICK) as made:
        yield made


def tried(pool: TrialPool, program: str, *tests: str, **how: Any) -> TrialResult:
    return pool.run(Trial(program, how.pop("functions", ("f",)), tests, **how))


def statuses(result: TrialResult) -> list[str]:
    return [tested.status for tested in result.tested]


# -- results -----------------------------------------------------------------------------------------------------------


def test_a_right_program_passes(pool: TrialPool) -> None:
    result = tried(pool, DOUBLE, "assert f(21) == 42", "assert f('a') == 'aa'")
    assert result.is_passed
    assert (result.num_passed, result.num_tests, result.reason, result.error) == (2, 2, "", "")
    assert 0 <= result.cpu_s < 1


def test_a_wrong_program_fails_and_the_reason_is_the_line_of_the_test(pool: TrialPool) -> None:
    result = tried(pool, DOUBLE, "x = 3\nassert f(x) == 7")
    assert statuses(result) == ["failed"]
    assert result.reason == "AssertionError: assert f(x) == 7"
    assert not result.is_passed
    assert result.error == ""


def test_a_message_of_an_assertion_is_the_reason(pool: TrialPool) -> None:
    assert tried(pool, DOUBLE, "assert f(1) == 3, 'should be three'").reason == "AssertionError: should be three"


def test_a_program_that_raises_fails_with_what_it_raised(pool: TrialPool) -> None:
    result = tried(pool, "def f(n):\n    raise ValueError('not today')\n", "assert f(1) == 2")
    assert statuses(result) == ["failed"]
    assert "ValueError" in result.reason
    assert "not today" in result.reason


@pytest.mark.parametrize(
    ("ends_early", "expected"), [(True, ["passed", "failed"]), (False, ["passed", "failed", "passed", "failed"])]
)
def test_tests_go_on_after_a_failure_only_where_asked(pool: TrialPool, ends_early: bool, expected: list[str]) -> None:
    tests = ["assert f(1) == 2", "assert f(2) == 5", "assert f(3) == 6", "assert f(4) == 9"]
    result = tried(pool, DOUBLE, *tests, ends_early=ends_early)
    assert statuses(result) == expected
    assert result.num_tests == 4
    assert not result.is_passed


def test_tests_share_their_names_in_order(pool: TrialPool) -> None:
    assert tried(pool, DOUBLE, "once = f(1)", "assert f(once) == 4").is_passed


def test_hundreds_of_tests_are_told_one_by_one(pool: TrialPool) -> None:
    result = tried(pool, DOUBLE, *(f"assert f({n}) == {2 * n + (n % 7 == 0)}" for n in range(300)), ends_early=False)
    assert [status == "passed" for status in statuses(result)] == [n % 7 != 0 for n in range(300)]


def test_a_check_function_may_call_the_program_in_loops(pool: TrialPool) -> None:
    check = "def check(candidate):\n    for n in range(50):\n        assert candidate(n) == n + n\n"
    assert tried(pool, DOUBLE, f"{check}check(f)").is_passed
    assert tried(pool, DOUBLE, f"{check}check(candidate)").is_passed
    assert statuses(tried(pool, ECHO, f"{check}check(f)")) == ["failed"]


def test_setup_is_for_tests_and_its_functions_give_way_to_the_program_s(pool: TrialPool) -> None:
    setup = "import math\ndef close(a, b): return math.isclose(a, b)\ndef f(n): return 'a stub'\n"
    assert tried(pool, "def f(n): return n / 3", "assert close(f(1), 1 / 3)", setup=setup).is_passed
    assert statuses(tried(pool, "def f(n): return close(n, n)", "assert f(1)", setup=setup)) == ["failed"]


def test_several_functions_of_one_program_can_be_called(pool: TrialPool) -> None:
    program = "def encode(s): return s[::-1]\ndef decode(s): return s[::-1] + '!'\n"
    result = tried(
        pool,
        program,
        "assert encode('ab') == 'ba'",
        "assert decode(encode('x')) == 'x'",
        functions=("encode", "decode"),
        ends_early=False,
    )
    assert statuses(result) == ["passed", "failed"]


def test_a_function_may_have_a_name_beyond_ascii(pool: TrialPool) -> None:
    assert tried(pool, "def größe(x): return len(x)", "assert größe('ab') == 2", functions=("größe",)).is_passed


def test_calls_may_have_keywords_and_defaults(pool: TrialPool) -> None:
    program = "def f(a, *rest, b=2, **more): return [a, rest, b, more]"
    assert tried(pool, program, "assert f(1, 5, 6, self=3, name=4) == [1, (5, 6), 2, {'self': 3, 'name': 4}]").is_passed


# -- tests at fault ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "test",
    [
        "assert f(",
        "assert f(1) == 2\x00",
        "assert f('\ud800') == 1 )",
        "x = " + "(" * 500 + ")" * 500,
        "1 / 0\nassert f(1) == 2",
        "import no_such_module\nassert f(1) == 2",
        "undefined(1, f(1))",
        "raise SystemExit(0)",
        "import os\nos._exit(0)",
        "x = 1",
        "",
        "while True: pass\nassert f(1) == 2",
        "def check(candidate): assert candidate(1) == 2",
    ],
    ids=repr,
)
def test_a_test_that_never_gets_to_call_the_program_is_at_fault(pool: TrialPool, test: str) -> None:
    result = tried(pool, DOUBLE, test)
    assert statuses(result) == ["error"]
    assert result.error
    assert result.error == result.reason
    assert not result.is_passed


@pytest.mark.parametrize("test", ["1 / 0", "while True: pass", "import os; os._exit(0)", "assert f(", "f = 3"])
def test_the_tests_after_one_at_fault_are_run_where_asked(pool: TrialPool, test: str) -> None:
    result = tried(pool, DOUBLE, "assert f(0) == 0", test, "assert f(1) == 2", ends_early=False)
    assert statuses(result) == ["passed", "error", "passed"]


@pytest.mark.parametrize("test", ["f(1)\nwhile True: pass", "f(1)\nimport os\nos._exit(0)", "f(1)\nraise SystemExit"])
def test_a_test_that_does_not_end_well_after_it_has_called_the_program_is_failed(pool: TrialPool, test: str) -> None:
    assert statuses(tried(pool, DOUBLE, test)) == ["failed"]


@pytest.mark.parametrize("setup", ["1 / 0", "def (", "while True: pass", "import no_such_module", "\x00"])
@pytest.mark.parametrize("ends_early", [True, False])
def test_a_setup_that_fails_puts_its_tests_at_fault(pool: TrialPool, setup: str, ends_early: bool) -> None:
    result = tried(pool, DOUBLE, "assert f(1) == 2", "assert f(2) == 4", setup=setup, ends_early=ends_early)
    assert set(statuses(result)) == {"error"}
    assert result.error


def test_a_trial_without_tests_is_at_fault(pool: TrialPool) -> None:
    assert statuses(tried(pool, DOUBLE)) == ["error"]


def test_tests_that_are_far_too_long_are_at_fault(pool: TrialPool) -> None:
    assert statuses(tried(pool, DOUBLE, "assert f(1) == 2", "#" * (MAX_TESTS_BYTES + 1))) == ["error"]


@pytest.mark.parametrize("argument", ["lambda x: x", "object()", "print"])
def test_a_test_that_passes_what_is_no_value_is_at_fault(pool: TrialPool, argument: str) -> None:
    assert statuses(tried(pool, "def f(g): return g(1)", f"assert f({argument}) == 1")) == ["error"]


# -- programs that cannot be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("", "does not define f"),
        ("def g(n): return 2 * n", "does not define f"),
        ("f = 3", "does not define f"),
        ("def f(n) return n", "SyntaxError"),
        ("def f(n):\n return n\n\treturn n", "TabError"),
        ("def f(n): return 2 * n\x00", "null bytes"),
        ("def f(n): return '\ud800'", "surrogate"),
        ("\udcff\udcfe", "surrogate"),
        ("import no_such_module\n" + DOUBLE, "no_such_module"),
        ("1 / 0\n" + DOUBLE, "ZeroDivisionError"),
        ("import sys\nsys.exit('bye')\n" + DOUBLE, "SystemExit"),
        ("import os\nos._exit(3)\n" + DOUBLE, "exit status 3"),
        ("import ctypes\nctypes.string_at(0)\n" + DOUBLE, "signal 11"),
        ("while True: pass\n" + DOUBLE, "processor time"),
        ("x = [0] * (1 << 30)\n" + DOUBLE, "MemoryError"),
        ("x = " + "(" * 5000 + ")" * 5000 + "\n" + DOUBLE, ""),
        (DOUBLE + "#" * (10 * MIB), "longer than"),
        ("def f(n):\n" + "    n = n\n" * 80_000 + "    return n\n", ""),
    ],
    ids=lambda text: repr(text)[:30],
)
def test_a_program_that_is_of_no_use_fails_and_says_why(pool: TrialPool, program: str, reason: str) -> None:
    result = tried(pool, program, "assert f(21) == 42", "assert f(1) == 2")
    assert statuses(result) == ["failed"]
    assert reason in result.reason
    assert result.error == ""
    assert tried(pool, DOUBLE, "assert f(21) == 42").is_passed


def test_the_reason_is_one_short_line_that_any_file_and_terminal_can_take(pool: TrialPool) -> None:
    program = "def f(n): raise ValueError('\\x1b[2J\\n\\r\\ud800\\u202e\\U0001f600' * 100_000)"
    for test in ("assert f(1) == 2", "try: f(1)\nexcept ValueError as error: assert False, str(error)"):
        (tested,) = tried(pool, program, test).tested
        assert tested.status == "failed"
        assert tested.reason.isprintable()
        assert tested.reason.encode()
        assert len(tested.reason) <= 400


# -- values ------------------------------------------------------------------------------------------------------------

KEYS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    KEYS
    | st.floats()
    | st.complex_numbers()
    | st.integers(-(10**40), 10**40)
    | st.sampled_from([2**62, -(2**63), ...]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
    ),
    max_leaves=12,
)
SAME = """
from math import inf, nan
infj, nanj = complex(0, inf), complex(0, nan)
def same(a, b):
    if type(a) is not type(b): return False
    if type(a) in (list, tuple): return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict: return same([*a.items()], [*b.items()])
    if type(a) in (set, frozenset): return a == b and {(type(x), x) for x in a} == {(type(x), x) for x in b}
    return repr(a) == repr(b)
"""


@settings(max_examples=60, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=20))
def test_values_go_over_and_come_back_as_they_were(pool: TrialPool, values: list[Any]) -> None:
    result = tried(pool, ECHO, *(f"x = {value!r}\nassert same(f(x), x), f(x)" for value in values), setup=SAME)
    assert result.is_passed, result.reason


@pytest.mark.parametrize(
    "value",
    ["float('nan')", "-0.0", "1e400", "10 ** 400", "-2 ** 62", "{(1, (2,)): {3}}", "[[]] * 3", "b''", "'\\ud800\\x00'"],
)
def test_odd_values_go_over_and_come_back_as_they_were(pool: TrialPool, value: str) -> None:
    assert tried(pool, ECHO, f"assert same(f({value}), {value})", setup=SAME).is_passed


@pytest.mark.parametrize(
    ("returned", "is_right"),
    [
        ("4", "got == 4 and type(got) is int"),
        ("4.0", "got == 4 and type(got) is float"),
        ("True", "got is True"),
        ("None", "got is None"),
        ("collections.Counter('aab')", "got == {'a': 2, 'b': 1} and type(got) is dict"),
        ("collections.OrderedDict(b=1, a=2)", "list(got.items()) == [('b', 1), ('a', 2)]"),
        ("collections.defaultdict(list, a=[1])", "got == {'a': [1]}"),
        ("collections.namedtuple('P', 'x y')(1, 2)", "got == (1, 2) and type(got) is tuple"),
        ("collections.deque([1, 2])", "list(got) == [1, 2]"),
        ("enum.IntEnum('E', 'A B').B", "got == 2"),
        ("type('T', (str,), {})('text')", "got == 'text' and type(got) is str"),
        ("type('L', (list,), {})([1, 2])", "got == [1, 2] and type(got) is list"),
        ("type('F', (float,), {})(0.5)", "got == 0.5"),
        ("fractions.Fraction(1, 3)", "got * 3 == 1"),
        ("decimal.Decimal('1.50')", "str(got) == '1.50'"),
        ("bytearray(b'ab')", "got == b'ab'"),
        ("range(2, 9, 3)", "list(got) == [2, 5, 8] and got == range(2, 9, 3)"),
        ("map(str, [1, 2])", "list(got) == ['1', '2']"),
        ("(n * n for n in range(3))", "list(got) == [0, 1, 4]"),
        ("iter([1, 2])", "next(got) == 1"),
        ("zip('ab', [1, 2])", "dict(got) == {'a': 1, 'b': 2}"),
        ("{'a': 1}.keys()", "list(got) == ['a']"),
        ("{1: 'a'}.items()", "dict(got) == {1: 'a'}"),
        ("filter(None, [0, 1])", "sum(got) == 1"),
        ("'x' * 2_000_000", "len(got) == 2_000_000"),
        ("list(range(200_000))", "got == list(range(200_000))"),
        ("re.match('a', 'a')", "got"),
        ("re.match('a', 'b')", "got is None"),
        ("object()", "got != 0 and got != [] and got != object() and not got == 'x'"),
        ("print", "got != print"),
        ("[lambda: 1]", "len(got) == 1 and got[0] != 1"),
        ("Equal()", "not got == 1 and got != 'x'"),
        ("[Equal()]", "got != [1]"),
        ("dataclasses.make_dataclass('D', ['x'])(1)", "got != 1"),
    ],
)
def test_what_a_program_returns_arrives_as_a_plain_value(pool: TrialPool, returned: str, is_right: str) -> None:
    """Subclasses as what they are based on; what has no plain value as something that equals nothing."""
    program = f"""
import collections, dataclasses, decimal, enum, fractions, re
class Equal:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(): return {returned}
"""
    result = tried(pool, program, f"got = f()\nassert {is_right}, got")
    assert result.is_passed, result.reason


def test_numpy_can_be_used_where_it_is_installed(pool: TrialPool) -> None:
    pytest.importorskip("numpy")
    program = "import numpy as np\ndef f(xs): return np.mean(xs)\ndef g(xs): return np.cumsum(xs).tolist()\n"
    tests = ["assert f([1, 2, 6]) == 3.0", "assert g([1, 2]) == [1, 3]"]
    result = tried(pool, program, *tests, functions=("f", "g"))
    assert result.is_passed, result.reason


def test_a_call_gets_a_copy(pool: TrialPool) -> None:
    result = tried(
        pool, "def f(xs):\n    xs.append(1)\n    return xs\n", "xs = []\nassert f(xs) == [1]\nassert xs == []"
    )
    assert result.is_passed, result.reason


@pytest.mark.parametrize("value", ["x", "[x, x]"], ids=["holds itself", "holds itself twice"])
def test_a_value_that_holds_itself_fails(pool: TrialPool, value: str) -> None:
    assert statuses(tried(pool, f"def f():\n    x = []\n    x.append({value})\n    return x", "assert f() == []")) == [
        "failed"
    ]


# -- exceptions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        ("ValueError('negative')", "ValueError"),
        ("ValueError('negative')", "Exception"),
        ("Own('negative')", "KeyError"),
        ("Own('negative')", "LookupError"),
        ("AssertionError('negative')", "AssertionError"),
        ("ZeroDivisionError('negative')", "ArithmeticError"),
        ("NotImplementedError('negative')", "RuntimeError"),
        ("FileNotFoundError(2, 'negative')", "OSError"),
    ],
)
def test_a_test_may_expect_an_exception_of_the_language_s_own(pool: TrialPool, raised: str, caught: str) -> None:
    program = f"class Own(KeyError): pass\ndef f(n): raise {raised}"
    test = f"try: f(1)\nexcept {caught} as error: assert 'negative' in str(error)\nelse: assert False, 'nothing raised'"
    result = tried(pool, program, test)
    assert result.is_passed, result.reason
    assert statuses(tried(pool, DOUBLE, test)) == ["failed"]


@pytest.mark.parametrize("ends", ["sys.exit(0)", "raise KeyboardInterrupt", "os._exit(0)", "raise StopIteration"])
def test_no_test_can_take_the_end_of_a_program_for_an_error_that_it_expects(pool: TrialPool, ends: str) -> None:
    result = tried(pool, f"import os, sys\ndef f(n): {ends}", "try: f(1)\nexcept BaseException: pass")
    assert statuses(result) == ["failed"]


def test_recursion_is_as_deep_as_python_s_and_ends_in_its_error(pool: TrialPool) -> None:
    program = "def f(n): return 0 if n == 0 else 1 + f(n - 1)"
    tests = ["assert f(900) == 900", "try: f(10 ** 6)\nexcept RecursionError: pass\nelse: assert False"]
    result = tried(pool, program, *tests)
    assert result.is_passed, result.reason


# -- what programs do --------------------------------------------------------------------------------------------------


def test_a_program_that_reads_its_input_finds_the_end_of_it(pool: TrialPool) -> None:
    assert "EOFError" in tried(pool, "def f(): return input()", "assert f() == ''").reason


def test_what_a_program_prints_is_dropped(pool: TrialPool) -> None:
    program = (
        "import sys\nprint()\ndef f(n):\n    print('x' * 10_000_000, file=[sys.stdout, sys.stderr][n])\n    return n"
    )
    result = tried(pool, program, "print(f(0))\nassert f(1) == 1")
    assert result.is_passed, result.reason


def test_a_program_runs_as_no_script(pool: TrialPool) -> None:
    program = "def f(n): return n\nif __name__ == '__main__':\n    f(1 / 0)\n"
    assert tried(pool, program, "assert f(3) == 3").is_passed


def test_a_program_keeps_its_state_from_call_to_call_and_none_from_trial_to_trial(pool: TrialPool) -> None:
    program = """
import math
calls = []
def f():
    calls.append(1)
    math.calls = getattr(math, "calls", 0) + 1
    return len(calls), math.calls
"""
    for _ in range(3):
        result = tried(pool, program, "assert f() == (1, 1)", "assert f() == (2, 2)")
        assert result.is_passed, result.reason


def test_a_program_that_uses_too_much_processor_time_fails_and_the_reason_says_so(pool: TrialPool) -> None:
    result = tried(pool, "def f(n):\n    while n: pass\n    return 0", "assert f(0) == 0", "assert f(1) == 0")
    assert statuses(result) == ["passed", "failed"]
    assert "processor time" in result.reason
    assert result.cpu_s >= 0.9


def test_the_tests_after_one_that_ends_the_program_are_run_where_asked(pool: TrialPool) -> None:
    program = "import os\ndef f(n): return os._exit(1) if n == 1 else n"
    result = tried(pool, program, *(f"assert f({n}) == {n}" for n in range(4)), ends_early=False)
    assert statuses(result) == ["passed", "failed", "passed", "passed"]


def test_a_program_that_always_takes_its_time_does_not_take_it_for_each_of_many_tests(pool: TrialPool) -> None:
    result = tried(pool, "def f(n):\n    while True: pass", *["assert f(1) == 1"] * 100, ends_early=False)
    assert statuses(result) == ["failed"] * 100
    assert result.cpu_s < 10


@pytest.fixture(scope="module")
def impatient() -> Iterator[TrialPool]:
    with strongest(num_workers=1, limits=dataclasses.replace(QUICK, wall_s=0.5)) as made:
        yield made


SLEEPS = "import time\ndef f(n):\n    time.sleep(1000 * n)\n    return n\n"


def test_a_program_that_sleeps_is_ended_by_the_wall_clock(impatient: TrialPool) -> None:
    result = tried(impatient, SLEEPS, "assert f(0) == 0", "assert f(1) == 1")
    assert statuses(result) == ["passed", "failed"]
    assert "wall clock" in result.reason


def test_a_program_that_sleeps_does_not_sleep_through_each_of_many_tests(impatient: TrialPool) -> None:
    result = tried(impatient, SLEEPS, *["assert f(1) == 1"] * 50, ends_early=False)
    assert statuses(result) == ["failed"] * 50
    assert sum("wall clock" in tested.reason for tested in result.tested) < 5


def test_a_test_that_sleeps_before_it_calls_the_program_is_at_fault(impatient: TrialPool) -> None:
    assert statuses(tried(impatient, DOUBLE, "import time\ntime.sleep(1000)\nassert f(1) == 2")) == ["error"]


def test_a_test_that_breaks_off_in_the_middle_of_a_message_of_its_own_is_at_fault(impatient: TrialPool) -> None:
    write = "try: os.write(fd, bytes([0, 0, 0, 9]))\n    except OSError: pass"
    test = f"import os, time\nfor fd in range(3, 32):\n    {write}\ntime.sleep(1000)"
    assert statuses(tried(impatient, DOUBLE, test)) == ["error"]
    assert tried(impatient, DOUBLE, "assert f(1) == 2").is_passed


def test_two_runs_of_a_program_are_alike() -> None:
    program = (
        "import random\ndef f(): return [*{'a', 'b', 'c', 'd'}, hash('x'), random.random(), *set(map(str, range(99)))]"
    )
    found = []
    for _ in range(2):
        with strongest(num_workers=1) as pool:
            found.append(tried(pool, program, "assert f() is None, str(f())").reason)
    assert found[0] == found[1]
    assert found[0].startswith("AssertionError: [")


# -- the pool ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORKER_TIERS)
def test_every_tier_tries_programs_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESEARCH_ALLOW_UNSANDBOXED", "1")
    with strongest(sandbox=name, num_workers=1, limits=QUICK) as pool:
        assert pool.info.name == name
        tests = ["assert f(1) == 2", "assert f(1) == 3", "1 / 0"]
        assert statuses(tried(pool, DOUBLE, *tests, ends_early=False)) == ["passed", "failed", "error"]
        assert statuses(tried(pool, "def f(n):\n    while True: pass", "assert f(1) == 2")) == ["failed"]
        assert tried(pool, DOUBLE, "assert f(21) == 42").is_passed


def test_no_tier_that_does_not_isolate_is_used_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGESEARCH_ALLOW_UNSANDBOXED", raising=False)
    with pytest.raises(SandboxUnavailable, match="EDGESEARCH_ALLOW_UNSANDBOXED=1") as caught:
        TrialPool("none")
    assert caught.value.exit_code == 6


def test_a_sandbox_that_does_not_exist_is_refused_with_the_names_of_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"'nonsense'.*bubblewrap.*landlock"):
        TrialPool("nonsense")


@pytest.mark.parametrize("num_workers", [0, -1])
def test_a_pool_needs_a_worker(num_workers: int) -> None:
    with pytest.raises(UsageError, match="num_workers"):
        strongest(num_workers=num_workers)


def test_a_pool_is_as_wide_as_asked() -> None:
    with strongest(num_workers=3) as pool:
        assert pool.num_workers == 3
    with strongest() as pool:
        assert pool.num_workers >= 1


def test_results_come_in_the_order_of_the_trials(pool: TrialPool) -> None:
    slow = "import time\ndef f(n):\n    time.sleep(0.1)\n    return n\n"
    trials = [Trial(slow if n % 5 == 0 else ECHO, ("f",), (f"assert f({n}) == {n}, 'no {n}'",)) for n in range(20)]
    trials[7] = Trial(DOUBLE, ("f",), ("assert f(7) == 7, 'no 7'",))
    results = list(pool.run_all(trials))
    assert [result.is_passed for result in results] == [n != 7 for n in range(20)]
    assert results[7].reason == "AssertionError: no 7"


def test_trials_are_taken_as_they_are_needed(pool: TrialPool) -> None:
    taken = itertools.count()
    endless = (Trial(DOUBLE, ("f",), (f"assert f({n}) == {2 * n}",)) for n in taken)
    results = pool.run_all(endless)
    assert all(result.is_passed for result in itertools.islice(results, 10))
    results.close()
    assert next(taken) < 100
    assert tried(pool, DOUBLE, "assert f(21) == 42").is_passed


def test_no_trials_give_no_results(pool: TrialPool) -> None:
    assert list(pool.run_all([])) == []


def test_an_error_of_who_gives_the_trials_is_theirs(pool: TrialPool) -> None:
    def broken() -> Iterator[Trial]:
        yield Trial(DOUBLE, ("f",), ("assert f(1) == 2",))
        raise LookupError("no more trials")

    with pytest.raises(LookupError, match="no more trials"):
        list(pool.run_all(broken()))
    assert tried(pool, DOUBLE, "assert f(21) == 42").is_passed


def test_several_threads_may_use_one_pool(pool: TrialPool) -> None:
    found: dict[int, list[bool]] = {}

    def use(thread: int) -> None:
        trials = [Trial(ECHO, ("f",), (f"assert f({thread}) == {n}",)) for n in range(12)]
        found[thread] = [result.is_passed for result in pool.run_all(trials)] + [pool.run(trials[thread]).is_passed]

    threads = [threading.Thread(target=use, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {thread: [n == thread for n in range(12)] + [True] for thread in range(4)}


def test_a_closed_pool_can_be_closed_again_and_not_used() -> None:
    pool = strongest(num_workers=1)
    assert tried(pool, DOUBLE, "assert f(1) == 2").is_passed
    pool.close()
    pool.close()
    with pytest.raises(UsageError, match="closed"):
        tried(pool, DOUBLE, "assert f(1) == 2")
    with pytest.raises(UsageError, match="closed"):
        list(pool.run_all([Trial(DOUBLE, ("f",), ("assert f(1) == 2",))]))


def test_a_pool_that_is_never_used_starts_nothing() -> None:
    strongest().close()  # whatever looks for a sandbox has run by now
    before = set(psutil.Process().children(recursive=True))
    with strongest() as pool:
        assert set(psutil.Process().children(recursive=True)) == before
        assert pool.info.is_isolating


def test_closing_a_pool_ends_all_that_it_started() -> None:
    before = set(psutil.Process().children(recursive=True))
    with strongest(num_workers=2) as pool:
        assert all(result.is_passed for result in pool.run_all([Trial(DOUBLE, ("f",), ("assert f(1) == 2",))] * 8))
        started = set(psutil.Process().children(recursive=True)) - before
        assert started
    assert are_gone(started)


def test_a_worker_that_is_killed_is_replaced() -> None:
    before = set(psutil.Process().children(recursive=True))
    with strongest(num_workers=1) as pool:
        for _ in range(2):
            assert tried(pool, DOUBLE, "assert f(1) == 2").is_passed
            for process in set(psutil.Process().children(recursive=True)) - before:
                if process.is_running():
                    process.kill()
        assert tried(pool, DOUBLE, "assert f(1) == 2").is_passed


def test_a_worker_that_is_killed_in_the_middle_of_a_trial_costs_only_time() -> None:
    before = set(psutil.Process().children(recursive=True))
    with strongest(num_workers=1) as pool:
        assert tried(pool, DOUBLE, "assert f(1) == 2").is_passed
        workers = set(psutil.Process().children(recursive=True)) - before
        killer = threading.Timer(0.3, lambda: [process.kill() for process in workers if process.is_running()])
        killer.start()
        result = tried(pool, "import time\ndef f():\n    time.sleep(0.8)\n    return 1\n", "assert f() == 1")
        killer.join()
        assert result.is_passed, result.reason


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent")
@pytest.mark.parametrize("name", [name for name, tier in WORKER_TIERS.items() if tier.info.is_isolating])
def test_nothing_outlives_a_process_that_is_killed_with_its_pool(name: str) -> None:
    strongest(sandbox=name).close()
    script = f"""
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import Trial
pool = TrialPool({name!r}, num_workers=1)
assert pool.run(Trial("def f(): return 1", ("f",), ("assert f() == 1",))).is_passed
print("ready", flush=True)
input()
pool.run(Trial("def f():\\n    while True: pass", ("f",), ("assert f() == 1",)))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdout.readline()
        num_idle = len(psutil.Process(parent.pid).children(recursive=True))
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        while len(started := psutil.Process(parent.pid).children(recursive=True)) < num_idle + 2:
            assert parent.poll() is None
            time.sleep(0.01)  # until the endless program and its test have begun
        parent.kill()
    assert are_gone(started)


def are_gone(processes: Any) -> bool:
    """Within a second."""
    _, alive = psutil.wait_procs(processes, timeout=1.0)
    return not [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

"""`edgesearch solve`: read problems, have the library solve them, show how it goes and what came out.

Tests and other programs can put another pipeline under the command: `main(obj={"load": load})`, where `load` is
called like `edgesearch.loading.load`. Not covered: solving and printing (solve_run.py), what is different for programs
(solve_code.py), the searching itself (edgesearch.pipeline).
"""

import dataclasses
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgesearch.budget import parse_duration
from edgesearch.errors import UsageError
from edgesearch.types import AGGREGATORS

from . import render, shared_options
from .interrupts import Interrupts
from .problems import opened, read_lines, read_problem
from .solve_code import ANSWER, SANDBOXES, TASKS, Asked
from .solve_run import Output, Run, Search
from .terminal import note, one_line, say

if TYPE_CHECKING:
    from edgesearch.engines.openai_protocol import Mode
    from edgesearch.pipeline import Pipeline

_EXAMPLES = """\b
Examples:
  edgesearch solve "How can you make 29 from 4, 6 and 5, using each number once?"
  edgesearch solve --budget 30s --show-steps @problem.txt
  edgesearch solve --model hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M --budget 1m - < problem.txt
  edgesearch solve --jsonl problems.jsonl --budget 5s > solutions.jsonl
  edgesearch solve --task code --tests tests.py --model hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF "Write add(a, b)."
  edgesearch solve --endpoint http://localhost:8000/v1 --model Qwen/Qwen2.5-7B-Instruct --template chatml "..."

\b
Put -- before a problem that starts with a minus sign; pipe in one that starts with @.
With --task code the problem names a function, as in "a function add(a, b)", or is a signature with a docstring.

\b
Exits with 0 if answered, 3 if not; with --jsonl with 1 if any line could not be solved.
"""
_OF_ENDPOINTS = ("api_key_env", "like", "template", "mode", "concurrency")
"""Parameters that mean nothing without --endpoint."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the flags say about where the models run and what is loaded."""

    model: str
    verifier: str
    max_n: int | None
    max_tokens: int | None
    threads: int | None
    is_checked: bool
    policy: str | None
    sandbox: str


@dataclass(frozen=True, slots=True)
class Server:
    """What the flags say about an endpoint."""

    url: str
    api_key_env: str | None
    like: str | None
    mode: "Mode"
    template: str | None
    concurrency: int


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> float:
    return parse_duration(value)


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):  # click's range lets NaN pass
        raise click.BadParameter(f"{value} is not a number.", ctx, param)
    return value


def _known_strategy(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from edgesearch import search

    if value != "auto":
        search.strategy(value)  # raises for an unknown one, before anything is loaded
    return value


def _pairs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE texts as a mapping."""
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as granularity=2.", ctx, param)
        if name in found:
            raise click.BadParameter(f"{name} is given twice.", ctx, param)
        found[name] = value
    return found


def _list_strategies(ctx: click.Context, param: click.Parameter, is_wanted: bool) -> None:
    """Prints a line for each strategy, and ends the command."""
    if not is_wanted or ctx.resilient_parsing:
        return
    from edgesearch import search

    rows = search.summaries()
    width = max(map(len, rows))
    for name, summary in rows.items():
        say(f"{name:{width}}  {summary}{_options_of(name)}")
    ctx.exit()


def _list_verifiers(ctx: click.Context, param: click.Parameter, is_wanted: bool) -> None:
    """Prints a line for each kind of verifier, and ends the command."""
    if not is_wanted or ctx.resilient_parsing:
        return
    from edgesearch import verifiers

    rows = {"auto": "the solver's own where one is known, else majority vote", "none": "nothing is scored"}
    rows |= verifiers.summaries()
    width = max(map(len, rows))
    for usage, summary in rows.items():
        say(f"{usage:{width}}  {summary}")
    ctx.exit()


def _options_of(name: str) -> str:
    """A strategy's own options with their defaults, as --option takes them."""
    from edgesearch import search
    from edgesearch.search.options import described

    options = described(search.strategy(name).options())
    return f" ({', '.join(f'{key}={_plain(value)}' for key, value in options.items())})" if options else ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@click.command(epilog=_EXAMPLES, short_help="Solve a problem within a budget.")
@click.argument("problem", required=False)
@click.option(
    "--budget",
    "budget_s",
    default="10s",
    show_default=True,
    callback=_duration,
    metavar="DURATION",
    help="Seconds to spend on a problem, loading apart; also 500ms or 2m.",
)
@click.option(
    "--model",
    default="nano",
    show_default=True,
    metavar="MODEL",
    help="The solver: a name, PATH.gguf, or hf:REPO[:QUANT|FILE]; with --endpoint the server's name for it.",
)
@click.option(
    "--verifier",
    default="auto",
    show_default=True,
    metavar="VERIFIER",
    help="What scores steps: auto, none, a name or a path, certainty ...; --list-verifiers lists them.",
)
@click.option(
    "--list-verifiers",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    show_default="no",
    callback=_list_verifiers,
    help="List the kinds of verifiers.",
)
@click.option(
    "--no-check",
    is_flag=True,
    show_default="check",
    help="Do not check answers exactly where the model's problems allow.",
)
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    callback=_known_strategy,
    metavar="NAME",
    help="How to search; --list-strategies lists them.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    callback=_pairs,
    show_default="the strategy's",
    metavar="KEY=VALUE",
    help="A setting of the strategy; may be given several times.",
)
@click.option(
    "--list-strategies",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    show_default="no",
    callback=_list_strategies,
    help="List the strategies and their options.",
)
@click.option(
    "--stop-early",
    "early_stop",
    type=click.FloatRange(0.5, 1, min_open=True),
    callback=_finite,
    show_default="never",
    metavar="CONFIDENCE",
    help="End a vote once it is this sure; 1: once no sample still drawn can change it.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, min_open=True),
    callback=_finite,
    default=0.95,
    show_default=True,
    metavar="PROBABILITY",
    help="End --strategy auto once the answer is right with this (calibrated) probability; 1: never for that.",
)
@click.option(
    "--policy",
    show_default="that of the models, if there is one",
    metavar="FILE",
    help="What `edgesearch tune` measured of these models, for --strategy auto.",
)
@click.option(
    "--n",
    type=click.IntRange(1, 4096),
    show_default="what the budget allows",
    metavar="N",
    help="Beams alive together, or samples.",
)
@click.option(
    "--m",
    type=click.IntRange(1, 4096),
    default=4,
    show_default=True,
    metavar="M",
    help="Children per kept beam: n/m beams are kept at each step.",
)
@click.option(
    "--aggregator",
    type=click.Choice(AGGREGATORS),
    show_default="the verifier's",
    metavar="NAME",
    help=f"Step scores to one score: {', '.join(AGGREGATORS)}.",
)
@shared_options.MAX_TOKENS
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100),
    callback=_finite,
    show_default="the model's",
    metavar="T",
    help="Of the drafts; 0 is greedy.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    metavar="INTEGER",
    help="Fixes every random draw.",
)
@shared_options.THREADS
@click.option(
    "--endpoint",
    show_default="none: the model runs here",
    metavar="URL",
    help="Draft through an OpenAI-compatible server, such as http://localhost:8000/v1.",
)
@click.option(
    "--api-key-env",
    show_default="none: no key is sent",
    metavar="VARIABLE",
    help="The environment variable that holds the endpoint's key.",
)
@click.option(
    "--like",
    show_default="none",
    metavar="MODEL",
    help="A local GGUF of the endpoint's model: its template, vocabulary and verifier.",
)
@click.option(
    "--template",
    show_default="that of --like, or plain text",
    metavar="NAME",
    help="Chat template for the endpoint: plain, chatml, llama-3, or a Jinja file.",
)
@click.option(
    "--mode",
    type=click.Choice(["completions", "chat"]),
    default="completions",
    show_default=True,
    metavar="API",
    help="API of the endpoint; chat (the server's own template) draws whole solutions only.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1024),
    default=8,
    show_default=True,
    metavar="N",
    help="Requests to the endpoint under way together.",
)
@click.option(
    "--task",
    type=click.Choice(TASKS),
    default=ANSWER,
    show_default=True,
    metavar="TASK",
    help="What is asked for: answer, or code (a Python program, tried on the tests that the problem shows).",
)
@click.option(
    "--tests",
    show_default="the examples in the problem",
    metavar="FILE",
    help="With --task code: Python tests (asserts, test_ functions) that the program must pass.",
)
@click.option(
    "--sandbox",
    type=click.Choice(SANDBOXES),
    show_default="the strongest that works",
    metavar="NAME",
    help=f"With --task code: what programs run in: {', '.join(SANDBOXES)}.",
)
@click.option("--json", "is_json", is_flag=True, show_default="the answer alone", help="Print one JSON object.")
@click.option(
    "--jsonl",
    show_default="none",
    metavar="FILE",
    help='Solve one {"id", "problem"[, "budget"]} a line (code: also "tests", "entry_point"); - for stdin.',
)
@click.option(
    "--show-steps", is_flag=True, show_default="the answer alone", help="Print the steps and their scores, too."
)
@click.option(
    "--trace",
    metavar="FILE",
    show_default="none",
    help="Write the search tree as JSON; `edgesearch trace FILE` shows it.",
)
@click.option("--explain", "is_explained", is_flag=True, show_default="no", help="Tell in a line how it was planned.")
@click.option("-v", "--verbose", "is_verbose", is_flag=True, show_default="no", help="Tell the models and counters.")
@click.option("-q", "--quiet", "is_quiet", is_flag=True, show_default="no", help="Tell warnings and errors only.")
@shared_options.NO_PROGRESS
@click.pass_context
def solve(
    ctx: click.Context, problem: str | None, jsonl: str | None, trace: str | None, budget_s: float,
    model: str, verifier: str, no_check: bool, threads: int | None,
    strategy: str, n: int | None, m: int, aggregator: str | None,
    max_tokens: int | None, temperature: float | None, options: dict[str, str], early_stop: float | None,
    confidence: float, policy: str | None, seed: int,
    endpoint: str | None, api_key_env: str | None, like: str | None, template: str | None, mode: "Mode",
    concurrency: int, task: str, tests: str | None, sandbox: str | None,
    is_json: bool, show_steps: bool, is_verbose: bool, is_quiet: bool, no_progress: bool, is_explained: bool,
) -> None:  # fmt: skip
    """Solve PROBLEM (text, - for standard input, or @FILE) within a budget and print the answer.

    Ctrl-C prints the best answer so far; a second one leaves at once.
    """
    if jsonl is not None and problem is not None:
        raise UsageError("give either a PROBLEM or --jsonl, not both")
    asked = Asked(task, tests, sandbox, has_lines=jsonl is not None)
    trace_path = _trace_path(trace, jsonl)
    search = Search(strategy, n, m, aggregator, max_tokens, temperature, options, early_stop, confidence, seed)
    source = Source(model, verifier, n, max_tokens, threads, not no_check, policy, sandbox or "auto")
    _check_endpoint_flags(ctx, endpoint)
    server = None if endpoint is None else Server(endpoint, api_key_env, like, mode, template, concurrency)
    output = Output(
        is_json or jsonl is not None,
        show_steps,
        is_verbose,
        is_quiet,
        not (no_progress or is_quiet),
        is_explained,
        asked.is_code,
    )
    with Interrupts() as interrupts, opened(jsonl) as stream:
        make = asked.maker()
        single = make(read_problem(problem)) if stream is None else None
        if output.has_progress:
            verb = "Loading" if server is None else "Connecting to the endpoint's"
            note(f"{verb} {one_line(model)} ...")  # before the slow imports
        source = dataclasses.replace(source, verifier=asked.verifier(verifier, single))
        view = render.open_view(is_shown=output.has_progress)
        with closing(view), _loaded(ctx, source) if server is None else _connected(source, server) as pipeline:
            run = Run(pipeline, search, output, view, interrupts, trace_path)
            if single is not None:
                exit_code = run.one(single, budget_s)
            else:
                assert stream is not None
                exit_code = run.lines(read_lines(stream, make), budget_s)
    ctx.exit(exit_code)


def _trace_path(trace: str | None, jsonl: str | None) -> Path | None:
    """Where the trace goes; looked at before anything is loaded."""
    if trace is None:
        return None
    if jsonl is not None:
        raise UsageError("--trace is of one problem; give a PROBLEM instead of --jsonl")
    from edgesearch.trace.file import check_place

    check_place(Path(trace))
    return Path(trace)


def _check_endpoint_flags(ctx: click.Context, endpoint: str | None) -> None:
    """Whether the flags about where the model runs fit together.

    Raises:
        UsageError: they contradict each other, or the server's model is not named.
    """

    def is_given(name: str) -> bool:
        return ctx.get_parameter_source(name) is not ParameterSource.DEFAULT

    if endpoint is None:
        for name in filter(is_given, _OF_ENDPOINTS):
            raise UsageError(f"--{name.replace('_', '-')} is about a server; name one with --endpoint URL")
    elif is_given("threads"):
        raise UsageError("--threads is about a model that runs here; with --endpoint the server decodes")
    elif not is_given("model"):
        raise UsageError("--endpoint needs --model, the name that the server has for the model")


def _loaded(ctx: click.Context, source: Source) -> "Pipeline":
    if ctx.obj is not None:
        load: Callable[..., Pipeline] = ctx.obj["load"]
    else:
        from edgesearch.loading import load
    return load(
        source.model,
        source.verifier,
        max_n=source.max_n,
        max_tokens=source.max_tokens,
        num_threads=source.threads,
        check=source.is_checked,
        policy=source.policy,
        sandbox=source.sandbox,
    )


def _connected(source: Source, server: Server) -> "Pipeline":
    from edgesearch.loading import load_endpoint

    return load_endpoint(
        server.url,
        source.model,
        like=server.like,
        verifier=source.verifier,
        mode=server.mode,
        template=server.template,
        api_key_env=server.api_key_env,
        concurrency=server.concurrency,
        max_n=source.max_n,
        check=source.is_checked,
        sandbox=source.sandbox,
    )

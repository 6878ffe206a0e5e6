"""`edgesearch solve`: read problems, have the library solve them, show how it goes and what came out.

Tests and other programs can put another pipeline under the command: `main(obj={"load": load})`, where `load` is
called like `edgesearch.loading.load`. Not covered: the searching itself (edgesearch.pipeline).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgesearch.budget import parse_duration
from edgesearch.errors import EdgesearchError, NoAnswer, UsageError
from edgesearch.events import Solved
from edgesearch.types import AGGREGATORS, Problem, Solution

from . import json_output, render
from .failures import explain
from .interrupts import Interrupts
from .problems import Line, opened, read_lines, read_problem
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.engines.openai_protocol import Mode
    from edgesearch.pipeline import Pipeline
    from edgesearch.trace.recorder import Recorder

_EXAMPLES = """\b
Examples:
  edgesearch solve "How can you make 29 from 4, 6 and 5, using each number once?"
  edgesearch solve --budget 30s --show-steps @problem.txt
  edgesearch solve --model hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M --budget 1m - < problem.txt
  edgesearch solve --jsonl problems.jsonl --budget 5s > solutions.jsonl
  edgesearch solve --endpoint http://localhost:8000/v1 --model Qwen/Qwen2.5-7B-Instruct --template chatml "..."

\b
Put -- before a problem that starts with a minus sign; pipe in one that starts with @.
Exits with 0 if answered, 3 if not; with --jsonl with 1 if any line could not be solved.
"""
_OF_ENDPOINTS = ("api_key_env", "like", "template", "mode", "concurrency")
"""Parameters that mean nothing without --endpoint."""


@dataclass(frozen=True, slots=True)
class Search:
    """What the flags say about how to search; None leaves it to the planner or the model."""

    strategy: str
    n: int | None
    m: int
    aggregator: str | None
    max_tokens: int | None
    temperature: float | None
    options: dict[str, str]
    early_stop: float | None
    confidence: float
    seed: int


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


@dataclass(frozen=True, slots=True)
class Server:
    """What the flags say about an endpoint."""

    url: str
    api_key_env: str | None
    like: str | None
    mode: "Mode"
    template: str | None
    concurrency: int


@dataclass(frozen=True, slots=True)
class Output:
    """What the flags say about what is shown."""

    is_json: bool
    show_steps: bool
    is_verbose: bool
    is_quiet: bool
    has_progress: bool
    is_explained: bool

    def __post_init__(self) -> None:
        if self.is_quiet and self.is_verbose:
            raise UsageError("-q and -v contradict each other; give one of them")


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
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    show_default="the model's",
    metavar="TOKENS",
    help="Longest solution.",
)
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
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    show_default="see `edgesearch info`",
    metavar="THREADS",
    help="CPU threads that decode.",
)
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
@click.option("--json", "is_json", is_flag=True, show_default="the answer alone", help="Print one JSON object.")
@click.option(
    "--jsonl",
    show_default="none",
    metavar="FILE",
    help='Solve one {"id", "problem"[, "budget"]} a line, print an object each; - for stdin.',
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
@click.option("--no-progress", is_flag=True, show_default="show", help="Show no progress while it runs.")
@click.pass_context
def solve(
    ctx: click.Context, problem: str | None, jsonl: str | None, trace: str | None, budget_s: float,
    model: str, verifier: str, no_check: bool, threads: int | None,
    strategy: str, n: int | None, m: int, aggregator: str | None,
    max_tokens: int | None, temperature: float | None, options: dict[str, str], early_stop: float | None,
    confidence: float, policy: str | None, seed: int,
    endpoint: str | None, api_key_env: str | None, like: str | None, template: str | None, mode: "Mode",
    concurrency: int,
    is_json: bool, show_steps: bool, is_verbose: bool, is_quiet: bool, no_progress: bool, is_explained: bool,
) -> None:  # fmt: skip
    """Solve PROBLEM (text, - for standard input, or @FILE) within a budget and print the answer.

    Ctrl-C prints the best answer so far; a second one leaves at once.
    """
    if jsonl is not None and problem is not None:
        raise UsageError("give either a PROBLEM or --jsonl, not both")
    trace_path = _trace_path(trace, jsonl)
    search = Search(strategy, n, m, aggregator, max_tokens, temperature, options, early_stop, confidence, seed)
    source = Source(model, verifier, n, max_tokens, threads, not no_check, policy)
    _check_endpoint_flags(ctx, endpoint)
    server = None if endpoint is None else Server(endpoint, api_key_env, like, mode, template, concurrency)
    output = Output(
        is_json or jsonl is not None, show_steps, is_verbose, is_quiet, not (no_progress or is_quiet), is_explained
    )
    with Interrupts() as interrupts, opened(jsonl) as stream:
        single = read_problem(problem) if stream is None else None
        if output.has_progress:
            verb = "Loading" if server is None else "Connecting to the endpoint's"
            note(f"{verb} {one_line(model)} ...")  # before the slow imports
        view = render.open_view(is_shown=output.has_progress)
        with closing(view), _loaded(ctx, source) if server is None else _connected(source, server) as pipeline:
            run = Run(pipeline, search, output, view, interrupts, trace_path)
            if single is not None:
                exit_code = run.one(single, budget_s)
            else:
                assert stream is not None
                exit_code = run.lines(read_lines(stream), budget_s)
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
    )


@dataclass(frozen=True, slots=True)
class Run:
    """The problems of one command, one after another on one loaded pipeline."""

    pipeline: "Pipeline"
    search: Search
    output: Output
    view: render.View
    interrupts: Interrupts
    trace_path: Path | None = None
    """Where the search tree goes, if it is wanted."""

    def one(self, problem: Problem, budget_s: float) -> int:
        """Solves and prints one problem; returns the exit code."""
        recorder = self._recorder()
        with self.interrupts.cancelling(self.pipeline.cancel):
            solution = self._solved(problem, budget_s, recorder)
            self._tell(solution)
            self._print(solution)
            is_written = self._write_trace(recorder)
        is_answered = solution.answer is not None
        if not is_answered:
            note(f"Error: {self._why_unanswered(solution)}", color="red")
        return self.interrupts.exit_code or (int(not is_written) if is_answered else NoAnswer.exit_code)

    def lines(self, lines: Iterator[Line], budget_s: float) -> int:
        """Solves and prints one problem a line, bad lines as errors; returns the exit code."""
        num_bad = 0
        for line in lines:
            num_bad += not self._line(line, budget_s)
            if self.interrupts.exit_code is not None:
                break
        if num_bad:
            note(
                f'Error: {render.counted(num_bad, "line")} could not be solved; see "error" in the output',
                color="red",
            )
        return self.interrupts.exit_code or (1 if num_bad else 0)

    def _line(self, line: Line, budget_s: float) -> bool:
        """Solves and prints one line; returns whether that went well."""
        try:
            if line.problem is None:
                raise line.error or UsageError("no problem")
            with self.interrupts.cancelling(self.pipeline.cancel):
                solution = self._solved(line.problem, line.budget_s or budget_s)
                self._tell(solution, f"{one_line(str(line.id))}: ")
                json_output.echo({"id": line.id, **json_output.solution_object(solution, self.search.seed)})
        except (EdgesearchError, MemoryError) as error:
            json_output.echo({"id": line.id, "line": line.number, **json_output.error_object(*explain(error))})
            return False
        return True

    def _recorder(self) -> "Recorder | None":
        if self.trace_path is None:
            return None
        from edgesearch.trace.recorder import Recorder

        return Recorder()

    def _write_trace(self, recorder: "Recorder | None") -> bool:
        """Writes the trace, if there is one, now that the answer is out; returns whether that went well."""
        if recorder is None or self.trace_path is None:
            return True
        from edgesearch.trace import file

        try:
            file.write(recorder.trace(), self.trace_path)
        except EdgesearchError as error:
            note(f"Error: {one_line(str(error))}", color="red")
            return False
        return True

    def _solved(self, problem: Problem, budget_s: float, recorder: "Recorder | None" = None) -> Solution:
        solution: Solution | None = None
        search = self.search
        events = self.pipeline.events(
            problem,
            budget_s=budget_s,
            strategy=search.strategy,
            n=search.n,
            m=search.m,
            aggregator=search.aggregator,
            max_tokens=search.max_tokens,
            temperature=search.temperature,
            options=search.options,
            early_stop=search.early_stop,
            confidence=search.confidence,
            seed=search.seed,
            is_traced=recorder is not None,
        )
        try:
            for event in events:
                if self.interrupts.exit_code is not None:  # it may have come before there was a search to end
                    self.pipeline.cancel()
                self.view.show(event)
                if recorder is not None:
                    recorder.add(event)
                if isinstance(event, Solved):
                    solution = event.solution
        finally:
            self.view.close()
        assert solution is not None, "the last event is Solved"
        return solution

    def _tell(self, solution: Solution, prefix: str = "") -> None:
        """The notes on stderr."""
        if not self.output.is_json:  # there they are in the object
            for warning in solution.warnings:
                warn(warning)
        if self.output.is_explained:
            note(prefix + render.explain_line(solution))
        if self.output.is_quiet:
            return
        for line in render.detail_lines(solution) if self.output.is_verbose else []:
            note(line, is_dim=True)
        note(prefix + render.summary_line(solution), is_dim=True)

    def _print(self, solution: Solution) -> None:
        """The result on stdout: the answer is its last line."""
        if self.output.is_json:
            json_output.echo(json_output.solution_object(solution, self.search.seed))
            return
        for line in render.step_lines(solution) if self.output.show_steps else []:
            if solution.answer is None:
                note(line)  # no step may be taken for the answer
            else:
                say(line)
        if solution.answer is not None:
            say(one_line(solution.answer), is_bold=True)

    def _why_unanswered(self, solution: Solution) -> str:
        if self.interrupts.exit_code is not None:
            return "interrupted before there was an answer"
        if solution.finish == "length":
            return "no answer: the solutions reached the token limit; try a larger --max-tokens"
        if solution.finish == "deadline" or not solution.candidates:
            return self._too_short(solution)
        return "no answer: no solution states one; read them with --show-steps, or try another --model"

    def _too_short(self, solution: Solution) -> str:
        """The smallest budget that makes sense, as far as is known."""
        least_s = solution.plan.least_s if solution.plan is not None else 0.0
        larger = render.seconds(_rounded_up(max(2 * least_s, 2 * solution.budget_s))).replace(" ", "")
        told = f"; one solution should take about {render.seconds(_rounded_up(least_s))}" if least_s else ""
        return f"no answer within {render.seconds(solution.budget_s)}{told}; try more, as in --budget {larger}"


def _rounded_up(seconds: float) -> float:
    """To two digits."""
    digits = 1 - math.floor(math.log10(seconds)) if seconds > 0 else 0
    return math.ceil(round(seconds * 10.0**digits, 6)) / 10.0**digits

"""Options that several commands have, each written once."""

import click

MODEL = click.option(
    "--model",
    default="nano",
    show_default=True,
    metavar="MODEL",
    help="The solver: a name, PATH.gguf, or hf:REPO[:QUANT|FILE].",
)
VERIFIER = click.option(
    "--verifier", default="auto", show_default=True, metavar="VERIFIER", help="What scores steps, or none."
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    show_default="see `edgesearch info`",
    metavar="THREADS",
    help="CPU threads that decode.",
)
MAX_TOKENS = click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    show_default="the model's",
    metavar="TOKENS",
    help="Longest solution.",
)
DATA = click.option("--data", metavar="FILE", show_default="the task's", help="A local file with the problems.")
SPLIT = click.option("--split", metavar="NAME", show_default="the task's first", help="Which part of the task.")
HTML = click.option("--html", metavar="FILE", show_default="none", help="Write one page that works offline.")
NO_PROGRESS = click.option("--no-progress", is_flag=True, show_default="show", help="Show no progress while it runs.")

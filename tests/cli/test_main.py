"""The command as a whole: help, version, what it imports, and that it is installed as a program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

import edgesearch
from edgesearch import errors

Run = Callable[..., Result]

HEAVY = ["huggingface_hub", "jinja2", "llama_cpp", "numpy", "onnxruntime", "psutil", "rich"]
SHOW_IMPORTS = """
import atexit, importlib.metadata, sys
atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))
(entry,) = importlib.metadata.entry_points(group="console_scripts", name="edgesearch")
entry.load()(sys.argv[1:], prog_name="edgesearch")
"""


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["solve", "--help"], ["solve", " "], ["solve", "hi", "--strategy", "dfs"]]
)
def test_help_version_and_wrong_usage_import_nothing_heavy(args: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SHOW_IMPORTS, *args], capture_output=True, text=True, check=False)
    modules = set(done.stderr.splitlines()[-1].split())
    assert "click" in modules
    assert not modules & set(HEAVY)


def test_the_program_is_installed() -> None:
    program = shutil.which("edgesearch", path=str(Path(sys.executable).parent))
    assert program is not None
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"edgesearch {edgesearch.__version__}\n"


def test_a_process_that_ends_does_not_search_what_it_loaded_for_cycles() -> None:
    at_exit = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); import edgesearch_cli.main"
    done = subprocess.run([sys.executable, "-c", at_exit], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_help_names_the_commands_and_the_exit_codes(run: Run) -> None:
    text = run("--help").stdout
    assert all(word in text for word in ("solve", "info", "grade", "Exit codes"))


def all_options(command: click.Command) -> list[click.Option]:
    commands = command.commands.values() if isinstance(command, click.Group) else []
    options = [option for each in commands for option in all_options(each)]
    return options + [param for param in command.params if isinstance(param, click.Option)]


def test_every_option_says_its_default_and_what_it_does(main: click.Command) -> None:
    for option in all_options(main):
        if option.name != "version":
            assert option.help, option.name
            assert option.show_default, option.name


def test_every_command_has_examples(main: click.Command) -> None:
    assert isinstance(main, click.Group)
    for command in (main, *main.commands.values()):
        assert "edgesearch " in (command.epilog or ""), command.name


def test_every_exit_code_of_the_library_is_in_the_help(run: Run) -> None:
    text = run("--help").stdout.partition("Exit codes:")[2]
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    for error in classes:
        assert f" {error.exit_code} " in text, error


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    result = run("sovle", "hi")
    assert result.exit_code == 2
    assert "sovle" in result.stderr


def test_an_interrupt_outside_of_a_search_exits_with_130(
    run: Run, main: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    assert isinstance(main, click.Group)
    monkeypatch.setattr(main.commands["grade"], "callback", interrupt)
    assert run("grade", "1", "1").exit_code == 130

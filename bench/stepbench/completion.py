"""`stepbench completion SHELL`: prints a script with which a shell completes the command line."""

import argparse
from collections.abc import Sequence
from typing import Any

import shtab

from stepbench.cli import SUBCOMMANDS
from stepbench.config.axes import AXES
from stepbench_reports.command_line import Parser

SHELLS = ("bash", "zsh", "fish", "tcsh")
EPILOG = """\
examples:
  stepbench completion bash > ~/.local/share/bash-completion/completions/stepbench
  stepbench completion zsh > ~/.zfunc/_stepbench
  stepbench completion fish > ~/.config/fish/completions/stepbench.fish
  stepbench completion tcsh > ~/.stepbench.tcsh

The script takes effect in a new shell. bash needs the package bash-completion; without it, add a
line to ~/.bashrc: source FILE. For zsh, add two lines to ~/.zshrc: fpath+=(~/.zfunc) and then
autoload -Uz compinit && compinit. For tcsh, add to ~/.tcshrc: source ~/.stepbench.tcsh.
"""
_FOLDERS, _FILES = ("DIR", "RUN", "OTHER"), ("FILE", "PATH", "PYTHON")
"""The placeholders of values that are paths."""


def main(arguments: Sequence[str]) -> int:
    """Prints the script.

    Args:
        arguments: The command line after `stepbench completion`.

    Returns:
        The exit code.
    """
    shell = parser().parse_args(list(arguments)).shell
    print(shtab.complete(command_line(), shell))
    return 0


def parser() -> Parser:
    """Makes the parser of `stepbench completion`."""
    own = Parser(
        prog="stepbench completion",
        description="Prints a script with which the shell completes subcommands, options, their "
        "values, and paths.",
        epilog=EPILOG,
    )
    own.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    return own


def command_line() -> argparse.ArgumentParser:
    """The parser of all subcommands, whose options know what a shell completes after them."""
    root = argparse.ArgumentParser(prog="stepbench")
    root.add_argument("--version", action="store_true", help="print the version")
    subparsers = root.add_subparsers()
    for subcommand in SUBCOMMANDS:
        made = subcommand.make_parser()
        for option in made._actions:  # argparse has no public list
            _set_values(option)
        subparsers.add_parser(subcommand.name, parents=[made], add_help=False, help=subcommand.help)
    return root


def _set_values(option: argparse.Action) -> None:
    """Sets what a shell completes after an option: values of an axis, names of axes, or paths."""
    axis_values = {axis.flag: axis.choices for axis in AXES if axis.choices}
    name = option.option_strings[0] if option.option_strings else ""
    if name == "--workload":
        _complete(option, _names_or_python_files(axis_values[name]))
    elif name in axis_values:
        option.choices = axis_values[name]
    elif option.metavar == "AXIS":
        option.choices = [axis.name for axis in AXES]
    elif option.metavar in _FOLDERS:
        _complete(option, shtab.DIRECTORY)
    elif option.metavar in _FILES:
        _complete(option, shtab.FILE)


def _complete(option: argparse.Action, by_shell: dict[str, Any]) -> None:
    """Sets the code with which each shell completes an option, where shtab reads it."""
    option.complete = by_shell  # type: ignore[attr-defined]


def _names_or_python_files(names: Sequence[str]) -> dict[str, Any]:
    """The code with which each shell completes names, and files that end with `.py`."""
    words, function = " ".join(names), "_stepbench_name_or_file"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"(echo {words} | string split ' '; __fish_complete_suffix .py)",
        "tcsh": f"({words})",
        "preamble": {
            "bash": f"{function}() {{\n"
            f"  compgen -W '{words}' -- \"$1\"\n"
            f"  compgen -f -X '!*.py' -- \"$1\"\n"
            f'  compgen -d -- "$1"\n'
            "}",
            "zsh": f"{function}() {{\n"
            f"  _alternative 'names:workload:({words})' 'files:file:_files -g \"*.py\"'\n"
            "}",
        },
    }

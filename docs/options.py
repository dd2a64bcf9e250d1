"""Writes `options.md` from the options of `stepbench run` and their help.

`python docs/options.py` writes it; a test keeps it current.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from stepbench.benchmarks.session import PYTEST_FLAGS
from stepbench.config.option_definitions import FLAGS, Flag, by_heading

PAGE = Path(__file__).parent / "options.md"
HEAD = """\
# Options of `stepbench run`

<!-- Written by docs/options.py from stepbench.config.option_definitions. -->

`stepbench --help` lists the other subcommands, each with its own `--help`. `stepbench completion`
prints a script with which bash, zsh, fish or tcsh completes options and values, and its `--help`
says where to put it. In bash:

```sh
stepbench completion bash > ~/.local/share/bash-completion/completions/stepbench
```

## Examples

```sh
stepbench run --collect-only
stepbench run --batch-size 32 128 --num-workers 0 2 4 --compile off
stepbench run --workload resnet18 mobilenet_v3_small --dataset jpeg --max-time 60
stepbench run --precision fp32 bf16 -k "b32 and not w0"
stepbench run --batch-size 32 --precision bf16 --train-parity -k training_parity
stepbench run --batch-size 32 --compile off default --profile --profile-workers
stepbench run --resume results/latest
```

Options that take several values span a matrix; each combination is a case. Combinations that mean
the same, such as `--prefetch-factor` without workers, are measured once. The cases
[take turns](measuring.md#cases-take-turns), so that comparisons are paired.
"""
FOOT = """\
`stepbench run` is a session of pytest with pytest-benchmark. Your repository's own pytest
configuration, plugins and conftest files are not used.

## A matrix in `pyproject.toml`

`--matrix small` reads

```toml
[tool.stepbench.matrix.small]
workload = ["my_bench.py:make"]
batch-size = [16, 64]
compile = ["off", "default"]
include = [{ batch-size = 128, num-workers = 4 }]
exclude = [{ device = "cpu", compile = "default" }]
```

An option on the command line replaces that axis.

## Exit codes

| code | means |
| --- | --- |
| 0 | every case was measured and is within tolerance |
| 1 | a case failed, or is out of tolerance |
| 2 | interrupted by Ctrl-C; what was measured is reported, and `--resume` measures the rest |
| 4 | wrong usage |
| 5 | no case was selected |
"""


def document() -> str:
    """The page's text."""
    groups = by_heading((*FLAGS, *PYTEST_FLAGS))
    return "\n".join([HEAD, *(_section(*group) for group in groups.items()), FOOT])


def _section(heading: str, flags: list[Flag]) -> str:
    return "\n".join([f"## {heading[0].upper()}{heading[1:]}", "", *_table(flags), ""])


def _table(flags: list[Flag]) -> Iterator[str]:
    yield "| option | |"
    yield "| --- | --- |"
    for flag in flags:
        value = flag.arguments.get("metavar", "")
        name = f"{flag.name} {value} …" if "nargs" in flag.arguments else f"{flag.name} {value}"
        yield f"| `{name.strip()}` | {_cell(flag.help)} |".replace("on|off", "on\\|off")


def _cell(text: str) -> str:
    """The help as a cell of a Markdown table; argparse writes a per cent sign as two."""
    return text.replace("%%", "%").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(document())
    sys.stdout.write(f"wrote {PAGE}\n")

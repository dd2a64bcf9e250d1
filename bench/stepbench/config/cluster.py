"""The options of a run that is spread over the nodes of a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stepbench.config.values import shown
from stepbench.errors import UsageError, suggestion

ENGINES = ("slurm", "ray", "local")
"""The engines that `--on` accepts."""


@dataclass(frozen=True)
class ClusterOptions:
    """The engine that spreads cases over nodes.

    Attributes:
        engine: The engine's name, one of `ENGINES`.
        values: The options of the engine, from `--on-option`.
        hosts_as_axis: True to measure all cases on each node.
    """

    engine: str
    values: Mapping[str, str] = field(default_factory=dict)
    hosts_as_axis: bool = False


def read_cluster(
    engine: str | None, words: Sequence[str] | None, hosts_as_axis: bool
) -> ClusterOptions | None:
    """Reads `--on`, `--on-option` and `--hosts-as-axis`.

    Args:
        engine: The value of `--on`.
        words: The values of `--on-option`, each `KEY=VALUE`.
        hosts_as_axis: True if `--hosts-as-axis` is given.

    Returns:
        The options; `None` without `--on`.

    Raises:
        UsageError: There is no such engine, a word is not `KEY=VALUE`, or `--on` is missing.
    """
    if engine is None:
        if words or hosts_as_axis:
            option = f"--on-option {shown(words[0])}" if words else "--hosts-as-axis"
            raise UsageError(f"{option}: takes effect only with --on; add --on slurm")
        return None
    if engine not in ENGINES:
        raise UsageError(
            f"--on {shown(engine)}: there is no such engine; {suggestion(engine, ENGINES)}"
        )
    values = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        key = key.strip().lstrip("-").replace("-", "_")
        if not equals or not key.isidentifier() or not value.isprintable():
            raise UsageError(
                f"--on-option {shown(word)!r}: give the name and the value of an option of "
                f"{engine}, such as partition=gpu"
            )
        values[key] = value
    return ClusterOptions(engine, values, hosts_as_axis)


def whole_option(cluster: ClusterOptions, key: str, default: int) -> int:
    """Reads an option of the engine that is a whole number from 0.

    Raises:
        UsageError: The value is no such number.
    """
    word = cluster.values.get(key)
    if word is None:
        return default
    if not word.isascii() or not word.isdecimal() or len(word) > 6:
        raise UsageError(f"--on-option {key}={shown(word)}: give a whole number, such as 1")
    return int(word)

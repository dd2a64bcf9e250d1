"""Files of schema 1, lifted to the shape of schema 2.

Schema 1 had fewer axes: each of its cases is at what has since become the default of the others. It
had one `first_step_s`, from a cold cache or a warm one as `compile.cache` said.
"""

from collections.abc import Mapping
from typing import Any

_AXES: Mapping[str, Any] = {
    "workload": None,
    "dataset": None,
    "loop": "train",
    "device": None,
    "batch_size": None,
    "accumulate": 1,
    "num_workers": None,
    "prefetch_factor": 2,
    "persistent_workers": False,
    "pin_memory": False,
    "non_blocking": False,
    "compile": None,
    "dynamic": "auto",
    "precision": None,
    "channels_last": False,
    "optimizer": "own",
}
"""The axes of schema 2 in order, with the value that those have which schema 1 lacks."""
_LACKING = ("noise", "work", "fixed", "micro_laps")


def lift_run(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`run.json` in the shape of schema 2.

    Args:
        facts: Its content, of schema 1.
    """
    axes = facts["axes"]
    defaults = {name: [value] for name, value in _AXES.items() if value is not None}
    return {**facts, "axes": _in_order({**defaults, **axes}), "ceilings": None, "settings": None}


def lift_case(content: Mapping[str, Any]) -> dict[str, Any]:
    """A case's file in the shape of schema 2.

    Args:
        content: Its content, of schema 1.
    """
    lifted = {**content, **dict.fromkeys(_LACKING)}
    if isinstance(content.get("case"), Mapping):
        defaults = {name: value for name, value in _AXES.items() if value is not None}
        lifted["case"] = _in_order({**defaults, **content["case"]})
    lifted["loader"] = {
        "start_s": lifted.pop("loader_start_s", None),
        **dict.fromkeys(["restart_s", "samples_per_s", "batches", "ready"]),
    }
    compiled = content.get("compile")
    if isinstance(compiled, Mapping):
        cold = None
        if compiled.get("cache") == "cold":
            cold = {"compile_s": None, "first_step_s": content.get("first_step_s")}
            lifted["first_step_s"] = None
        unknown = dict.fromkeys(["recompiles", "compile_s", "breaks", "recompiled"])
        lifted["compile"] = {**compiled, **unknown, "cold": cold}
    return lifted


def _in_order(axes: Mapping[str, Any]) -> dict[str, Any]:
    order = [name for name in _AXES if name in axes]
    return {name: axes[name] for name in dict.fromkeys([*order, *axes])}

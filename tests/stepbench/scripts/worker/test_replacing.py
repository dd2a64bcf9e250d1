"""What `--set` puts in force as a script constructs its objects."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from stepbench.errors import UsageError
from stepbench.scripts.worker.replacing import Replacer
from stepbench_reports.schema.axes import AxisValue

if TYPE_CHECKING:
    from stepbench.scripts.worker.boundaries import Boundaries

DATA = list(range(8))


class Wrapped:
    """Collects what a replacer puts in the place of constructors, around others than torch's."""

    def __init__(self, replacer: Replacer, original: Callable[..., Any]) -> None:
        self._original = original
        self.functions: dict[str, Callable[..., Any]] = {}
        replacer.install(cast("Boundaries", self))

    def replace(self, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
        original = self._original if owner is torch else getattr(owner, name)
        self.functions[name] = wrap(original)


def compiled(
    changes: Mapping[str, AxisValue], model: Any, **options: Any
) -> tuple[Any, dict[str, Any], int]:
    """What `torch.compile` is given for a model, and how often the setting was found."""
    given: list[dict[str, Any]] = []

    def original(_: Any, **options: Any) -> str:
        given.append(options)
        return "compiled"

    replacer = Replacer(changes)
    result = Wrapped(replacer, original).functions["compile"](model, **options)
    return result, given[0] if given else {}, replacer.found["compile"]


def test_a_mode_takes_the_place_of_all_that_says_how_to_compile() -> None:
    model = nn.Linear(1, 1)
    result = compiled({"compile": "max-autotune"}, model, options={"a": 1}, fullgraph=True)
    assert result == ("compiled", {"fullgraph": True, "mode": "max-autotune"}, 1)
    result = compiled({"compile": "backend:eager"}, model, mode="default")
    assert result == ("compiled", {"backend": "eager"}, 1)


def test_a_function_is_compiled_so_as_well_and_is_no_model() -> None:
    assert compiled({"compile": "default"}, abs) == ("compiled", {"mode": "default"}, 0)
    assert compiled({"compile": "off"}, abs) == (abs, {}, 1)


def test_a_model_that_compiles_itself_is_found() -> None:
    model = nn.Linear(1, 1)
    assert compiled({"compile": "default"}, model._call_impl)[2] == 1


@pytest.mark.parametrize(("workers", "found"), [(0, 0), (1, 1)])
def test_a_setting_of_workers_is_found_where_there_are_some(workers: int, found: int) -> None:
    replacer = Replacer({"prefetch_factor": 4})
    construct = Wrapped(replacer, print).functions["__init__"]
    loader = DataLoader.__new__(DataLoader)
    construct(loader, DATA, num_workers=workers)
    assert replacer.found["prefetch_factor"] == found
    assert loader.prefetch_factor == (4 if workers else None)
    if not found:
        with pytest.raises(UsageError, match=r"a torch\.utils\.data\.DataLoader with workers"):
            replacer.refuse_unfound()


def cast_within(precision: str, **options: Any) -> tuple[bool, torch.dtype]:
    construct = Wrapped(Replacer({"precision": precision}), print).functions["__init__"]
    context = torch.autocast.__new__(torch.autocast)
    construct(context, "cpu", **options)
    return context._enabled, context.fast_dtype


def test_a_region_that_the_script_excludes_from_autocast_remains_excluded() -> None:
    assert cast_within("bf16", dtype=torch.float16) == (True, torch.bfloat16)
    assert not cast_within("bf16", enabled=False)[0]
    assert not cast_within("fp32", dtype=torch.bfloat16)[0]


def test_weights_of_fewer_bits_are_not_made_fp32() -> None:
    replacer = Replacer({"precision": "fp32"})
    replacer.prepare_model(nn.Linear(1, 1))
    with pytest.raises(UsageError, match="the script's weights are bfloat16"):
        replacer.prepare_model(nn.Linear(1, 1, dtype=torch.bfloat16))


def test_only_a_fused_optimizer_is_given_the_scale_of_gradients() -> None:
    fused = torch.optim.Adam([nn.Parameter(torch.ones(1))], fused=True)
    Replacer({"optimizer": "foreach"}).prepare_optimizer(fused)
    assert not fused._step_supports_amp_scaling
    assert fused.param_groups[0]["foreach"]
    Replacer({"optimizer": "fused"}).prepare_optimizer(fused)
    assert fused._step_supports_amp_scaling

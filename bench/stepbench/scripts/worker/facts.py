"""Collects the facts of a script's process at its end."""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from stepbench.config.case import Case
from stepbench.devices import kinds
from stepbench.devices.kinds import kind_of
from stepbench.measurement.facts import optimizer_bytes, parameter_bytes, parameter_count
from stepbench.scripts.requests import ScriptEnd, ScriptRequest
from stepbench.scripts.roles import Roles
from stepbench.scripts.worker.control import StepEnds
from stepbench.scripts.worker.observer import ScriptObserver, SeenLoader
from stepbench.training import compilation, settings
from stepbench_reports.schema.axes import AxisValue
from stepbench_reports.schema.case_facts import ClockFacts, DataFacts, ModelFacts
from stepbench_reports.schema.measurement import MemoryFacts, Operations
from stepbench_reports.schema.phases import PHASES
from stepbench_reports.schema.run import Settings
from stepbench_reports.schema.script import EVALUATION, RecognisedPart, ScriptFacts

NOT_RECOGNISED = "not recognised"
_NOT_COUNTED = "the operations of a script are not counted"
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024


def script_end(
    request: ScriptRequest,
    ends: StepEnds,
    observer: ScriptObserver,
    exit_code: int | None,
    ended: str,
) -> ScriptEnd:
    """Collects the facts of a script that was measured.

    Args:
        request: The script.
        ends: Its steps.
        observer: Its objects.
        exit_code: Its own exit code; `None` if it was stopped.
        ended: Words on how it ended.
    """
    roles = ends.roles
    assert roles is not None  # noqa: S101  # recognised before the first turn
    axes = _axes(request, observer, roles)
    values: dict[str, Any] = axes
    case = Case(workload=request.script.shown, **values)
    peak = kind_of(case.device).peak_memory(case.device)
    models = [] if observer.marker is None else observer.marker.models
    loader = observer.training_loader(roles.training)
    host_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded, foreign = _origins(request)
    return ScriptEnd(
        data=DataFacts(
            name="" if loader is None else loader.dataset,
            origin="user",
            length=None if loader is None else loader.length,
        ),
        model=_model_facts(models, observer),
        settings=settings.record(Settings(seed=request.seed or 0), case.device, sync_phases=False),
        clock=ClockFacts(
            name=observer.clock.clock_name,
            resolution_s=time.get_clock_info("perf_counter").resolution,
        ),
        first_step_s=ends.first_step_s,
        loader=None,
        compile=compilation.facts(case),
        memory=MemoryFacts(
            host_peak_bytes=host_kib * _KIBIBYTE,
            host_pinned_bytes=kind_of(case.device).pinned_bytes(),
            device_peak_allocated_bytes=peak.device_peak_allocated_bytes,
            device_peak_reserved_bytes=peak.device_peak_reserved_bytes,
        ),
        operations=Operations(flops=None, bytes=None, operators=None, reason=_NOT_COUNTED),
        script=_script_facts(
            ends, observer, roles, exit_code, ended, changed=bool(request.changes)
        ),
        axes=axes,
        losses=observer.losses,
        inputs=observer.inputs,
        devices=kinds.present(),
        profile=ends.profile,
        modules=len(loaded),
        foreign=foreign,
    )


def _origins(request: ScriptRequest) -> tuple[list[str], tuple[str, ...]]:
    """The files of modules from the script's tree, and those of its repository from elsewhere."""
    if request.tree is None or request.repository is None:
        return [], ()
    files = [
        Path(file).resolve()
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str)
    ]
    tree, repository = request.tree.resolve(), request.repository.resolve()
    files = [file for file in dict.fromkeys(files) if file.is_file()]  # torch has invented ones
    own = [str(file) for file in files if file.is_relative_to(tree)]
    foreign = [
        str(file)
        for file in files
        if file.is_relative_to(repository)
        and not file.is_relative_to(tree)
        and not {"site-packages", "stepbench", "stepbench_reports"} & set(file.parts)
    ]
    return own, tuple(foreign)


def _axes(request: ScriptRequest, observer: ScriptObserver, roles: Roles) -> dict[str, AxisValue]:
    loader = observer.training_loader(roles.training)
    axes: dict[str, AxisValue] = {
        "device": observer.device,
        "batch_size": batch_size(observer, loader) or 1,
        "accumulate": roles.micro_batches or 1,
        "precision": _precision(observer),
        "compile": _compiled(),
    }
    if loader is not None:
        axes |= {
            "num_workers": loader.workers,
            "prefetch_factor": loader.prefetch or 2,
            "pin_memory": loader.pinned,
            "persistent_workers": loader.persistent,
        }
    return {**axes, **request.changes}


def batch_size(observer: ScriptObserver, loader: SeenLoader | None) -> int | None:
    """The number of samples in a batch: the model's input's first dimension, or the loader's."""
    if observer.batch_sizes:
        return max(set(observer.batch_sizes), key=observer.batch_sizes.count) or None
    return None if loader is None else loader.batch_size


def _precision(observer: ScriptObserver) -> str:
    cast = [each for each in observer.precisions if each is not None]
    if cast:
        return cast[0]
    names = {"torch.bfloat16": "bf16", "torch.float16": "fp16"}
    for optimizer in observer.optimizers.values():
        for parameter in optimizer.param_groups[0]["params"]:
            return names.get(str(parameter.dtype), "fp32")
    return "fp32"


def _compiled() -> str:
    """`default` if torch has compiled anything in this process, else `off`."""
    return "default" if compilation.count() else "off"


def _model_facts(models: list[nn.Module], observer: ScriptObserver) -> ModelFacts:
    totals = [parameter_count(model) for model in models]
    sizes = [parameter_bytes(model) for model in models]
    return ModelFacts(
        name=_names(models) or NOT_RECOGNISED,
        parameters=sum(total for total, _ in totals),
        trainable=sum(trained for _, trained in totals),
        parameter_bytes=sum(total for total, _ in sizes) if sizes else None,
        trainable_bytes=sum(trained for _, trained in sizes) if sizes else None,
        optimizer_bytes=optimizer_bytes(observer.optimizers.values()),
    )


def _names(objects: list[Any]) -> str:
    inner = [getattr(each, "_orig_mod", each) for each in objects]
    return ", ".join(dict.fromkeys(type(each).__name__ for each in inner))


def _script_facts(
    ends: StepEnds,
    observer: ScriptObserver,
    roles: Roles,
    exit_code: int | None,
    ended: str,
    *,
    changed: bool,
) -> ScriptFacts:
    totals = ends.totals
    size = batch_size(observer, observer.training_loader(roles.training))
    return ScriptFacts(
        phases=tuple(phase for phase in PHASES if phase in totals.phases),
        parts=tuple(_parts(ends, observer, roles, size)),
        steps=ends.steps,
        evaluations=totals.evaluations,
        evaluation_s=totals.evaluation_s,
        unexplained=totals.other_s / totals.wall_s if totals.wall_s else 0.0,
        exit_code=exit_code,
        ended=ended,
        unchanged=not changed,
        sample_unit="sample" if size is not None else "step",
    )


def _parts(
    ends: StepEnds, observer: ScriptObserver, roles: Roles, size: int | None
) -> Iterator[RecognisedPart]:
    def part(name: str, found: str | None, reason: str = "") -> RecognisedPart:
        return RecognisedPart(name=name, found=found, reason=None if found else reason)

    main = observer.optimizers.get(roles.main_optimizer or 0)
    updates = ", ".join(
        f"{type(optimizer).__name__} ({roles.updates.get(number, 0)} updates seen)"
        for number, optimizer in observer.optimizers.items()
    )
    yield part("step", f"an update of {type(main).__name__}")
    micro = roles.micro_batches or 1
    yield part("micro-batches", f"{micro} a step" if micro > 1 else "1: no accumulation")
    yield part("optimizers", updates)
    skipped = f", which skipped {roles.skipped} updates" if roles.skipped else ""
    yield part(
        "gradient scaler",
        f"GradScaler{skipped}" if roles.scaled else None,
        "no GradScaler.step was called",
    )
    loader = observer.training_loader(roles.training)
    no_loader = (
        "no torch DataLoader fed the training steps: batches are made elsewhere, and their time is "
        "in forward or other"
    )
    yield part("data loader", None if loader is None else _loader_words(loader), no_loader)
    models = [] if observer.marker is None else observer.marker.models
    yield part(
        "model call",
        _names(models) or None,
        "no call of a module whose parameters an optimizer updates was seen; forward is all time "
        "before backward",
    )
    yield part(
        "batch size",
        None if size is None else str(size),
        "neither a loader nor the model's input shows one; rates count batches",
    )
    yield part(
        "transfer",
        "Tensor.to and Tensor.cuda" if roles.transfers else None,
        "the device is the CPU" if observer.device == "cpu" else "no Tensor.to from the host",
    )
    totals = ends.totals
    seconds = totals.evaluation_s
    yield part(
        EVALUATION,
        f"{totals.evaluations} times, {seconds:.3g} s in all" if totals.evaluations else None,
        "the model was not called without gradients between the recorded steps",
    )


def _loader_words(loader: SeenLoader) -> str:
    workers = f"{loader.workers} workers" if loader.workers else "no workers"
    size = f", batch size {loader.batch_size}" if loader.batch_size else ""
    return f"DataLoader of {loader.dataset}{size}, {workers}"

"""Peak throughput of this machine, measured and never taken from a data sheet.

A peak is a maximum, and interference can only lower the result of a trial. The best of many short
trials therefore counts. Peaks are measured once per `PeaksKey` and cached. Peaks measured during
interference may be too low: the next runs measure again and keep the best, `MAX_TRIES` times in
all, so that peaks are found on a machine that is never quiet, too.
"""

import functools
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL
import torch
from msgspec.structs import asdict, replace
from PIL import Image

from stepbench import machine
from stepbench.data import cache, synthetic_images
from stepbench.devices import kinds
from stepbench.devices.clock import DeviceClock, HostClock
from stepbench.errors import UnsupportedError, UsageError
from stepbench.interference.watch import MachineWatch, interferes
from stepbench.training import precision
from stepbench_reports.schema.files import DamageError, decode, read_bytes, write_record
from stepbench_reports.schema.machine import MachinePeaks
from stepbench_reports.schema.record import Record

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
VERSION = 2
"""Part of the key; raised when the way of measuring changes."""
MAX_TRIES = 3
"""The number of measurements, all during interference, of which the best is final."""

_SIDES = (512, 1024, 2048, 4096, 8192)
"""The sides of the square matrices that are multiplied."""
_MAX_SIDE_ON_CPU = 2048
_COPIED_BYTES = 256 * 2**20
"""The size of a copied tensor, bytes: more than most processor caches hold."""
_IMAGE_SIDE = 288
"""The mean side of the synthetic JPEG files, in pixels."""
_TRIAL_S = 0.01
"""The minimum duration of a trial, seconds: clock and synchronization are then negligible."""
_BUDGET_S = 0.15
"""The duration of all trials of one operation, seconds."""


class PeaksKey(Record, frozen=True, kw_only=True):
    """Everything that a device's peak throughput depends on.

    Attributes:
        device: The name of the device's model.
        torch: The version of torch.
        threads: The number of threads that torch computes with on the host.
        cores: The number of cores that this process may use.
        pillow: The version of Pillow.
        version: `VERSION`.
        node: The name of the cluster's node, as the cache may lie on a file system that nodes
            share; empty outside a cluster.
    """

    device: str
    torch: str
    threads: int
    cores: int
    pillow: str
    version: int
    node: str = ""


class CachedPeaks(Record, frozen=True, kw_only=True):
    """The content of a file in the cache.

    Attributes:
        key: Everything that the peaks depend on.
        peaks: The best peaks so far.
        tries: The number of times that they were measured during interference.
        quiet: True if they were measured without interference.
    """

    key: PeaksKey
    peaks: MachinePeaks
    tries: int = 0
    quiet: bool = True

    @property
    def is_final(self) -> bool:
        """True if the peaks need not be measured again."""
        return self.quiet or self.tries >= MAX_TRIES


def machine_peaks(
    report: Callable[[str], None], devices: tuple[str, ...], threads: int | None
) -> dict[str, MachinePeaks]:
    """Reads the peaks of devices from the cache, or measures them. Runs in a separate process.

    Args:
        report: Called with a short progress message.
        devices: The devices.
        threads: The number of threads that torch is to use; `None` leaves torch's default.

    Returns:
        The peaks by device.

    Raises:
        UsageError: The cache cannot be written.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    return {device: _device_peaks(report, device) for device in devices}


def _device_peaks(report: Callable[[str], None], device: str) -> MachinePeaks:
    key = _key(device)
    path = _cache_path(key)
    cached = _read_cache(path, key)
    if cached is not None and cached.is_final:
        return cached.peaks
    watch = MachineWatch(kinds.kind_of(device).gauge(device))
    watch.begin()
    peaks = _measure(report, device)
    quiet = not interferes(watch.end())
    tries = 0 if cached is None else cached.tries
    best = peaks if cached is None else _best(cached.peaks, peaks)
    _write_cache(path, CachedPeaks(key=key, peaks=best, tries=tries + (not quiet), quiet=quiet))
    return best


def _best(earlier: MachinePeaks, later: MachinePeaks) -> MachinePeaks:
    """The higher of each throughput of two measurements."""
    before, after = earlier.matmul_flops_per_s, later.matmul_flops_per_s
    return replace(
        later,
        matmul_flops_per_s={name: _higher(before[name], after[name]) for name in PRECISIONS},
        copy_bytes_per_s=max(earlier.copy_bytes_per_s, later.copy_bytes_per_s),
        decoded_images_per_s=_higher(earlier.decoded_images_per_s, later.decoded_images_per_s),
    )


def _higher(a: float | None, b: float | None) -> float | None:
    return max((rate for rate in (a, b) if rate is not None), default=None)


# --- the cache -----------------------------------------------------------------------------------


def _key(device: str) -> PeaksKey:
    kinds.select(device)  # several GPUs may be of different models
    return PeaksKey(
        device=kinds.present()[device.partition(":")[0]],
        torch=str(torch.__version__),
        threads=torch.get_num_threads(),
        cores=machine.usable_cores(),
        pillow=PIL.__version__,
        version=VERSION,
        node=os.environ.get(machine.NODE, ""),
    )


def _cache_path(key: PeaksKey) -> Path:
    fields = asdict(key)
    name = "{device}-torch{torch}-{threads}threads-{cores}cores".format_map(fields)
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).lower()
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return cache.location() / "machine-peaks" / f"{readable}-{digest[:8]}.json"


def _read_cache(path: Path, key: PeaksKey) -> CachedPeaks | None:
    """The file in the cache; `None` if there is none, or if it is damaged."""
    try:
        cached = decode(path, read_bytes(path), CachedPeaks)
    except (FileNotFoundError, DamageError):
        return None
    return cached if cached.key == key and _plausible(cached.peaks) else None


def _plausible(peaks: MachinePeaks) -> bool:
    optional = [*peaks.matmul_flops_per_s.values(), peaks.decoded_images_per_s]
    rates = [peaks.copy_bytes_per_s, *(rate for rate in optional if rate is not None)]
    return tuple(peaks.matmul_flops_per_s) == PRECISIONS and all(
        0 < rate < math.inf for rate in rates
    )


def _write_cache(path: Path, cached: CachedPeaks) -> None:
    """Writes a device's peaks to the cache."""
    try:
        write_record(path, cached, indented=True)
    except OSError as error:
        raise UsageError(
            f"{cache.VARIABLE}={cache.location()}: this machine's peak throughput cannot be "
            f"cached there ({error}); set {cache.VARIABLE} to a writable directory with free space"
        ) from error


# --- measuring -----------------------------------------------------------------------------------


def _measure(report: Callable[[str], None], device: str) -> MachinePeaks:
    matmul_flops_per_s: dict[str, float | None] = {}
    for precision_name in PRECISIONS:
        try:
            kinds.kind_of(device).require_precision(precision_name, device)
        except UnsupportedError:
            matmul_flops_per_s[precision_name] = None
        else:
            report(f"peak throughput of {device}: {precision_name} matrix products")
            matmul_flops_per_s[precision_name] = _matmul_flops_per_s(device, precision_name)
    report(f"peak throughput of {device}: copies")
    copy_bytes_per_s = _copy_bytes_per_s(device)
    decoded_images_per_s = None
    if device == "cpu":
        report("peak throughput of a core: JPEG decoding")
        decoded_images_per_s = _decoded_images_per_s()
    return MachinePeaks(
        matmul_flops_per_s=matmul_flops_per_s,
        copy_bytes_per_s=copy_bytes_per_s,
        decoded_images_per_s=decoded_images_per_s,
        threads=torch.get_num_threads(),
        cache_bytes=machine.cache_bytes() if device == "cpu" else None,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _matmul_flops_per_s(device: str, precision_name: str) -> float:
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision_name, torch.float32)
    clock = kinds.kind_of(device).clock(device)
    best = 0.0
    with _in_precision(precision_name):
        for side in _SIDES:
            operations = 2 * side**3
            too_slow = best > 0 and operations / best > _BUDGET_S
            if too_slow or (device == "cpu" and side > _MAX_SIDE_ON_CPU):
                break
            left, right = torch.rand(2, side, side, device=device).to(dtype)
            multiply = functools.partial(torch.mm, left, right, out=torch.empty_like(left))
            best = max(best, operations / _fastest_s(multiply, clock))
    return best


@contextmanager
def _in_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    precision.apply(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def _copy_bytes_per_s(device: str) -> float:
    source = torch.ones(_COPIED_BYTES // 4, dtype=torch.float32, device=device)
    copy = torch.empty_like(source)
    clock = kinds.kind_of(device).clock(device)
    return 2 * _COPIED_BYTES / _fastest_s(lambda: copy.copy_(source), clock)


def _decoded_images_per_s() -> float:
    files = _jpegs()

    def decode() -> None:
        for file in files:
            with Image.open(io.BytesIO(file)) as image:
                image.convert("RGB")  # as torchvision's image folder does

    return len(files) / _fastest_s(decode, HostClock())


def _jpegs() -> list[bytes]:
    """A JPEG file of each class, like the files of the synthetic image folder."""
    rng = np.random.default_rng(synthetic_images.SEED)
    canvas = synthetic_images.Canvas(_IMAGE_SIDE, _IMAGE_SIDE, samples=1, noise=12)
    files = []
    for figure in synthetic_images.FIGURES.values():
        file = io.BytesIO()
        Image.fromarray(synthetic_images.generate_images(figure, 1, canvas, rng)[0]).save(
            file, "JPEG", quality=90
        )
        files.append(file.getvalue())
    return files


def _fastest_s(call: Callable[[], object], clock: DeviceClock) -> float:
    """The seconds per call in the fastest trial; a trial has enough calls to last `_TRIAL_S`."""
    call()  # the first call allocates memory and chooses a kernel
    clock.synchronize()
    calls, best = 1, math.inf
    began = clock.now_ns()
    while True:
        start = clock.now_ns()
        for _ in range(calls):
            call()
        clock.synchronize()
        end = clock.now_ns()
        trial_s = (end - start) / 1e9
        if trial_s < _TRIAL_S:
            calls *= 2
            continue
        best = min(best, trial_s / calls)
        if (end - began) / 1e9 > _BUDGET_S:
            return best

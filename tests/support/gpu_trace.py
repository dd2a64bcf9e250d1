"""A trace as `torch.profiler` writes one on a CUDA device, with known durations.

Two steps of 1,000 µs each. The host asks for work and runs ahead; the device is one stream. In each
step the host spends 100 µs in `dataload`, and copies to the device in `transfer` (20 µs there); in
`forward`, `aten::linear` calls `aten::addmm`, which launches a kernel of 300 µs; `backward` runs on
a thread of its own and launches one of 200 µs; `optimizer` launches one of 80 µs.
"""

from typing import Any

STEP_US = 1000.0
BEGIN_US = 5_000_000.0
MAIN, AUTOGRAD, STREAM = 11, 12, 7
PHASES = ("dataload", "transfer", "forward", "backward", "optimizer")
KERNELS_US = {"forward": 300.0, "backward": 200.0, "optimizer": 80.0}
COPY_US = 20.0
STEPS = 2

_MARKS = {
    "dataload": (0, 100), "transfer": (100, 50), "forward": (150, 250), "backward": (400, 300),
    "optimizer": (700, 280),
}  # fmt: skip


def _event(category: str, name: str, begin: float, duration: float, **more: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "ph": "X", "cat": category, "name": name, "pid": 1, "tid": MAIN, "ts": begin,
        "dur": duration, "args": {},
    }  # fmt: skip
    return {**event, **more}


def _launch(
    number: int, external: int, thread: int, at: float, kernel: tuple[str, float, float]
) -> list[dict[str, Any]]:
    """The host's call, and the kernel: its name, when it begins, and how long it takes."""
    name, begin, duration = kernel
    arguments = {"External id": external, "correlation": number}
    return [
        _event("cuda_runtime", "cudaLaunchKernel", at, 5, tid=thread, args=arguments),
        _event(
            "kernel", name, begin, duration, pid=0, tid=STREAM,
            args={
                **arguments, "device": 0, "stream": STREAM, "context": 1, "queued": 0,
                "grid": [64, 1, 1], "block": [128, 1, 1], "registers per thread": 32,
                "shared memory": 0, "blocks per SM": 0.5, "warps per SM": 2,
                "est. achieved occupancy %": 6,
            },
        ),
        {"ph": "s", "cat": "ac2g", "name": "ac2g", "id": number, "pid": 1, "tid": thread, "ts": at},
        {"ph": "f", "cat": "ac2g", "name": "ac2g", "id": number, "pid": 0, "tid": STREAM,
         "ts": begin, "bp": "e"},
    ]  # fmt: skip


def _step(number: int) -> list[dict[str, Any]]:
    start = BEGIN_US + number * STEP_US
    ids = 100 * (number + 1)
    device = start + 160  # when the stream begins with this step's work
    return [
        _event("user_annotation", f"ProfilerStep#{number + 2}", start, STEP_US - 10),
        *(
            _event("user_annotation", name, start + begin, duration, args={"External id": ids + 50})
            for name, (begin, duration) in _MARKS.items()
        ),
        _event(
            "gpu_user_annotation", "forward", device, 300, pid=0, tid=STREAM,
            args={"External id": ids + 50},
        ),
        _event(
            "user_annotation", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__",
            start + 10, 80, args={"External id": ids + 1},
        ),
        _event("cpu_op", "aten::copy_", start + 110, 30, args={"External id": ids + 2}),
        _event(
            "cuda_runtime", "cudaMemcpyAsync", start + 115, 20,
            args={"External id": ids + 2, "correlation": ids + 2},
        ),
        _event(
            "gpu_memcpy", "Memcpy HtoD (Pageable -> Device)", start + 120, COPY_US, pid=0,
            tid=STREAM,
            args={"External id": ids + 2, "correlation": ids + 2, "device": 0, "stream": STREAM,
                  "bytes": 4096},
        ),
        _event("cpu_op", "aten::linear", start + 160, 200,
               args={"External id": ids + 3, "Input Dims": [[8, 4], [2, 4], [2]]}),
        _event("cpu_op", "aten::addmm", start + 180, 150,
               args={"External id": ids + 4, "Input Dims": [[2], [8, 4], [4, 2]]}),
        *_launch(ids + 4, ids + 4, MAIN, start + 200,
                 ("sgemm_forward", device, KERNELS_US["forward"])),
        _event("cpu_op", "AddmmBackward0", start + 420, 200, tid=AUTOGRAD,
               args={"External id": ids + 5}),
        *_launch(ids + 5, ids + 5, AUTOGRAD, start + 450,
                 ("sgemm_backward", device + 300, KERNELS_US["backward"])),
        _event("cpu_op", "aten::_foreach_add_", start + 720, 100, args={"External id": ids + 6}),
        *_launch(ids + 6, ids + 6, MAIN, start + 730,
                 ("multi_tensor_apply", device + 590, KERNELS_US["optimizer"])),
        {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "s": "t", "pid": 1, "tid": MAIN,
         "ts": start + 190,
         "args": {"Device Type": 1, "Device Id": 0, "Addr": 1, "Bytes": 512,
                  "Total Allocated": 1536, "Total Reserved": 2**21}},
        {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "s": "t", "pid": 1, "tid": MAIN,
         "ts": start + 970,
         "args": {"Device Type": 1, "Device Id": 0, "Addr": 1, "Bytes": -512,
                  "Total Allocated": 1024, "Total Reserved": 2**21}},
    ]  # fmt: skip


def content() -> dict[str, Any]:
    """The file, its keys in the order in which the profiler has them."""
    return {
        "schemaVersion": 1,
        "deviceProperties": [
            {
                "id": 0, "name": "A GPU", "totalGlobalMem": 85_000_000_000, "computeMajor": 9,
                "computeMinor": 0, "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048,
                "regsPerBlock": 65536, "warpSize": 32, "sharedMemPerBlock": 49152, "numSms": 132,
            }
        ],
        "displayTimeUnit": "ms",
        "baseTimeNanoseconds": 0,
        "traceEvents": [event for number in range(STEPS) for event in _step(number)],
        "traceName": "a trace",
    }  # fmt: skip

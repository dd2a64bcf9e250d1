import errno
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from stepbench.process.child import diagnose
from stepbench_reports.schema.status import Status

ASYNCHRONOUS = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect."
)
CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB of "
    "which 15.20 GiB is free."
)


def accelerator_error(text: str) -> Exception:
    kind: type[Exception] = getattr(torch, "AcceleratorError", RuntimeError)  # newer torch has it
    return kind(text + ASYNCHRONOUS)


def numpy_error() -> Exception:
    """What NumPy itself raises."""
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    return caught.value


def worker_error(kind: type[Exception], line: str) -> Exception:
    """As a data loader raises a worker's exception again: with the worker's traceback as text."""
    return kind(
        f"Caught {kind.__name__} in DataLoader worker process 0.\nOriginal Traceback (most recent "
        f'call last):\n  File "data.py", line 7, in __getitem__\n    return load(index)\n{line}\n'
    )


def backend(_: object) -> None:
    """A backend of the compiler, which only gives the error its name."""


def compiler_failed(inner: Exception) -> Exception:
    try:
        return BackendCompilerFailed(backend, inner, None)
    except TypeError:  # older torch has no third argument
        return BackendCompilerFailed(backend, inner)  # type: ignore[call-arg]


def inductor_failed(inner: Exception) -> Exception:
    exc = pytest.importorskip("torch._inductor.exc")
    if not hasattr(exc, "InductorError"):
        pytest.skip("older torch has no InductorError")
    failed: Exception = exc.InductorError(inner, None)
    return failed


def only_text(failed: Exception) -> Exception:
    """An error of the compiler that has lost the original, but not its text."""
    del failed.inner_exception  # type: ignore[attr-defined]  # as if it had come from a process
    return failed


def raised(error: Exception, cause: BaseException | None = None) -> BaseException:
    """The error, once raised and caught."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


FORMS: dict[str, Callable[[], Exception]] = {
    "torch": lambda: torch.OutOfMemoryError(CUDA),
    "xpu": lambda: torch.OutOfMemoryError("XPU out of memory. Tried to allocate 2.00 GiB."),
    "older torch": lambda: RuntimeError(CUDA),
    "cuda": lambda: accelerator_error("CUDA error: out of memory"),
    "cuda, older torch": lambda: RuntimeError("CUDA error: out of memory" + ASYNCHRONOUS),
    "driver": lambda: RuntimeError("CUDA driver error: out of memory"),
    "hip": lambda: accelerator_error("HIP error: out of memory"),
    "triton": lambda: RuntimeError("Triton Error [CUDA]: out of memory"),
    "cublas": lambda: RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    ),
    "cusolver": lambda: RuntimeError(
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"
    ),
    "cufft": lambda: RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    "cudnn": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cudnn 9": lambda: RuntimeError(
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
    ),
    "cudnn 9, host": lambda: RuntimeError(
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"
    ),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 17.87 GB, max 18 GB)."),
    "level zero": lambda: RuntimeError(
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"
    ),
    "windows": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you "
        "tried to allocate 4294967296 bytes."
    ),
    "c++": lambda: RuntimeError("std::bad_alloc"),
    "shared memory": lambda: RuntimeError(
        "unable to mmap 4096 bytes from file </torch_1_2>: Cannot allocate memory (12)"
    ),
    "fork": lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "python": MemoryError,
    "numpy": numpy_error,
    "a worker's fork": lambda: worker_error(OSError, "OSError: [Errno 12] Cannot allocate memory"),
    "a worker's memory": lambda: worker_error(RuntimeError, "numpy._core._exceptions.MemoryError"),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_out_of_memory(form: str) -> None:
    status, reason = diagnose(raised(FORMS[form]()))
    assert status is Status.OOM
    assert "lower --batch-size" in reason


def test_what_torch_itself_raises_on_the_host_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator: can't allocate memory") as caught:
        torch.empty(1 << 60)
    assert diagnose(caught.value)[0] is Status.OOM


@pytest.mark.parametrize("form", FORMS)
def test_the_compiler_may_wrap_each_form(form: str) -> None:
    for failed in (compiler_failed, inductor_failed):
        original = FORMS[form]()
        kept = raised(failed(original))
        assert kept.inner_exception is original  # type: ignore[attr-defined]
        caused = raised(only_text(failed(ValueError("as it was"))), original)
        text = raised(only_text(failed(original)))
        for error in (kept, caused, text):
            assert diagnose(error)[0] is Status.OOM, error


def test_the_reason_quotes_the_line_that_says_so() -> None:
    _, reason = diagnose(raised(compiler_failed(torch.OutOfMemoryError(CUDA))))
    assert reason.endswith(f"(OutOfMemoryError: {CUDA})")
    _, reason = diagnose(raised(FORMS["a worker's fork"]()))
    assert reason.endswith("(OSError: [Errno 12] Cannot allocate memory)")


@pytest.mark.parametrize(
    "error",
    [
        accelerator_error("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
        RuntimeError("out of resource: shared memory, Required: 262144, Hardware limit: 101376"),
        RuntimeError("my replay buffer is out of memory slots"),
        ValueError("out of memory"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
    ],
    ids=lambda error: str(error).splitlines()[0],
)
def test_similar_errors_are_not_out_of_memory(error: Exception) -> None:
    for failure in (raised(error), raised(compiler_failed(error))):
        assert diagnose(failure)[0] is Status.ERROR


@pytest.mark.parametrize("text", ["CUDA error: out of memory", "cannot allocate memory for -1"])
def test_the_texts_mean_nothing_in_a_user_s_value_error(text: str) -> None:
    assert diagnose(raised(ValueError(text))) == (Status.ERROR, f"ValueError: {text}")


def test_an_error_after_a_shortage_counts_only_if_it_was_caused_by_it() -> None:
    unrelated, caused = ValueError("no such backend"), RuntimeError("the model cannot be built")
    unrelated.__context__ = torch.OutOfMemoryError(CUDA)  # as in `except`, without `from`
    assert diagnose(unrelated)[0] is Status.ERROR
    assert diagnose(raised(caused, torch.OutOfMemoryError(CUDA)))[0] is Status.OOM


def test_exceptions_that_are_each_other_s_cause_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert diagnose(first) == (Status.ERROR, "ValueError: first")


def test_a_worker_that_lacks_shared_memory_has_its_own_remedy() -> None:
    error = RuntimeError(
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
        "dataloader's workers are out of shared memory."
    )
    status, reason = diagnose(raised(error))
    assert status is Status.OOM
    assert "--shm-size" in reason

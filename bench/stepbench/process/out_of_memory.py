"""The forms in which an exception says that memory ran out, of a device or of the host.

Classes of torch are recognized by name, since this room does not import torch.
"""

import re

from stepbench.process.exception_chain import text, wrapped

CLASSES = frozenset({"MemoryError", "OutOfMemoryError"})
"""The names of the classes that mean nothing else: Python's, from which NumPy's derives, and
torch's."""

TEXTS = (
    # CUDA itself, outside torch's allocator: torch.AcceleratorError, or RuntimeError in older torch
    r"\b(CUDA|HIP)( driver)? error: out of memory\b",
    r"\bTriton Error \[(CUDA|HIP)\]: out of memory\b",
    # CUDA's libraries, which allocate their own handles and workspaces
    r"\b(CU|HIP)(BLAS|DNN|SOLVER|SPARSE)_STATUS_ALLOC_FAILED\b",
    r"\b(CU|HIP)FFT_ALLOC_FAILED\b",
    r"\bCUDNN_STATUS_INTERNAL_ERROR_(DEVICE|HOST)_ALLOCATION_FAILED\b",
    # MPS and XPU
    r"\bMPS backend out of memory\b",
    r"\bUR_RESULT_ERROR_OUT_OF_(DEVICE|HOST)_MEMORY\b",
    # the host: torch's allocator, C++, and the operating system
    r"\bDefaultCPUAllocator: (can't allocate memory|not enough memory)",
    r"\bstd::bad_alloc\b",
    r"\b([Cc]annot|[Cc]ould not) allocate memory\b",
    # one of `CLASSES` of which another process, or the compiler, passes on only the text
    r"(^|: )[\w.]*MemoryError(:|$)",
    r"\bCUDA out of memory\. (Tried to allocate|Allocation was preemptively rejected)\b",
)
"""The texts, regular expressions, that mean it in a `RuntimeError` or an `OSError`."""

_TEXT = re.compile("|".join(TEXTS))


def shortage(error: BaseException) -> str | None:
    """The line of an exception, or of one that it wraps, that says that memory ran out.

    Args:
        error: The exception. Its `__cause__` counts, and a compiler error's `inner_exception`.

    Returns:
        The line; `None` if the exception does not say so.
    """
    return next(filter(None, map(_line, wrapped(error))), None)


def _line(error: BaseException) -> str | None:
    lines = text(error).splitlines()
    if CLASSES & {kind.__name__ for kind in type(error).__mro__}:
        return lines[0]
    if not isinstance(error, RuntimeError | OSError):
        return None
    return next((line.strip() for line in lines if _TEXT.search(line)), None)

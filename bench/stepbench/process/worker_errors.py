"""The errors of DataLoader workers, which reach their parent as text, and of shared memory.

Workers hand batches over in shared memory, which containers often limit to 64 MB.
"""

import re
import traceback
from multiprocessing import synchronize
from pathlib import Path

from stepbench.process.exception_chain import text, wrapped

SHARED_MEMORY_REMEDY = (
    "shared memory (/dev/shm) is full; use --num-workers 0 or a lower --batch-size, or "
    "give the container more (docker run --shm-size 2g)"
)
_CAUGHT = re.compile(r"\bCaught \w+ in (DataLoader worker process \d+)\.\n")
_FRAME = re.compile(r'^ *File "')
_NO_SPACE = re.compile(
    # torch, when it reserves the space of a shared tensor; some versions name an older call's error
    r"unable to allocate shared memory\(shm\) for file </torch_.*>: [^(\n]*[^ (\n]"
    # torch, when it uses the space
    r"|unable to (resize|write to|mmap \d+ bytes from) file "
    r"</torch_.*>: (No space left on device|Cannot allocate memory)"
    # torch, of a worker that wrote where no space was left
    r"|DataLoader worker .* is killed by signal: Bus error.*"
)


def original_error(message: str) -> str | None:
    """The error that a DataLoader worker raised, with the worker's name.

    Args:
        message: The type and text of the error that the DataLoader raised in its place.

    Returns:
        The first line of the original error's own text; `None` if no worker raised it.
    """
    caught = _CAUGHT.search(message)
    if caught is None:
        return None
    lines = message[caught.end() :].strip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    after = lines[frames[-1] + 1 :] if frames else lines
    original = next((line for line in after if line and not line.startswith("    ")), lines[-1])
    return f"{original} (in {caught[1]})"


def shortage_of_shared_memory(error: BaseException) -> str | None:
    """The line of an error that says that `/dev/shm` is full; `None` for another error.

    Of a worker that ended, torch says what its signal was in the error itself or, where it looked
    at all workers first, in the error's cause.
    """
    found = next(filter(None, (_NO_SPACE.search(text(each)) for each in wrapped(error))), None)
    if found is not None:
        return found[0]
    frames = traceback.extract_tb(error.__traceback__)
    made_a_lock = bool(frames) and Path(frames[-1].filename) == Path(synchronize.__file__)
    return text(error) if made_a_lock and isinstance(error, OSError) else None

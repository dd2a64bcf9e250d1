"""Training scripts as users write them, and the workloads that the guide makes of them."""

import re
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
GUIDE = HERE.parents[2] / "docs" / "own-workload.md"


def write_workload(name: str, directory: Path) -> Path:
    """Writes a script, and the guide's workload `bench_NAME.py` of it, into a directory."""
    code = re.search(rf"```python\n(# bench_{name}\.py\n.*?)```", GUIDE.read_text(), re.DOTALL)
    assert code is not None
    shutil.copy(HERE / f"{name}.py", directory)
    path = directory / f"bench_{name}.py"
    path.write_text(code[1])
    return path


def write_tokens(directory: Path) -> None:
    """Writes files of tokens, as nanoGPT's `prepare.py` does."""
    import numpy as np

    directory.mkdir()
    generator = np.random.default_rng(0)
    for split, length in (("train", 4000), ("val", 1000)):
        generator.integers(64, size=length).astype(np.uint16).tofile(directory / f"{split}.bin")


def write_mnist(directory: Path) -> None:
    """Writes images and labels in MNIST's format, which torchvision reads."""
    import numpy as np

    raw = directory / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, length in (("train", 256), ("t10k", 64)):
        images = generator.integers(256, size=(length, 28, 28)).astype(np.uint8)
        labels = generator.integers(10, size=length).astype(np.uint8)
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            header = np.array([0x0800 + values.ndim, *values.shape], dtype=">i4")
            (raw / f"{part}-{name}-ubyte").write_bytes(header.tobytes() + values.tobytes())

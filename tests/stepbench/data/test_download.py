"""`--download`, tried against a local file server with a small archive of CIFAR-10's own form."""

import hashlib
import pickle
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from stepbench.data import sources
from stepbench.errors import UsageError

PER_BATCH = 3
ARCHIVE = "cifar-10-python.tar.gz"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and does not say so."""

    def log_message(self, *_: Any) -> None:
        pass


def write_archive(directory: Path) -> dict[str, str]:
    """The archive, with so few images; its files' MD5s by name."""
    folder = directory / "made" / sources.CIFAR10_FOLDER
    folder.mkdir(parents=True)
    names = {"label_names": list(sources.CIFAR10_CLASSES)}
    contents: dict[str, Any] = {"batches.meta": names}
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        pixels = np.full((PER_BATCH, 3 * 32 * 32), len(contents), dtype=np.uint8)
        contents[name] = {"data": pixels, "labels": [3, 1, 4], "filenames": ["a", "b", "c"]}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
    with tarfile.open(directory / ARCHIVE, "w:gz") as archive:
        archive.add(folder, sources.CIFAR10_FOLDER)
    return {name: md5(folder / name) for name in contents}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A served archive that torchvision takes for the published one; its path."""
    place = tmp_path / "served"
    place.mkdir()
    digests = write_archive(place)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{ARCHIVE}"
    monkeypatch.setattr(CIFAR10, "url", url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(place / ARCHIVE))
    listed = [[name, digests[name]] for name in sorted(digests) if name.startswith("data_")]
    monkeypatch.setattr(CIFAR10, "train_list", listed)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", digests["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": digests["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    yield place / ARCHIVE
    server.shutdown()
    server.server_close()


def test_what_is_fetched_is_read_and_not_fetched_again(served: Path, tmp_path: Path) -> None:
    place = tmp_path / "data"
    source = sources.source("cifar10", data_dir=place, download=True)
    assert (source.name, source.origin) == ("CIFAR-10", "real")
    train: Any = source.train()
    test: Any = source.test()
    assert (len(train), len(test)) == (5 * PER_BATCH, PER_BATCH)
    image, target = train[PER_BATCH]
    assert image.shape == (3, 32, 32)
    assert target == 3
    assert image.unique().tolist() == pytest.approx([2 / 255 * 2 - 1])
    served.unlink()
    again: Any = sources.source("cifar10", data_dir=place, download=True).train()
    assert len(again) == 5 * PER_BATCH
    alone: Any = sources.source("cifar10", data_dir=place).test()
    assert len(alone) == PER_BATCH


def cut_short(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100])


@pytest.mark.parametrize("spoil", [Path.unlink, cut_short])
def test_what_cannot_be_fetched_is_told_with_a_remedy(
    spoil: Callable[[Path], None], served: Path, tmp_path: Path
) -> None:
    spoil(served)
    source = sources.source("cifar10", data_dir=tmp_path / "data", download=True)
    with pytest.raises(UsageError, match=r"--download: http://127.* could not be fetched .*leave"):
        source.train()


@pytest.mark.usefixtures("served")
def test_a_file_that_was_damaged_since_is_told(tmp_path: Path) -> None:
    place = tmp_path / "data"
    sources.source("cifar10", data_dir=place, download=True).train()
    (place / sources.CIFAR10_FOLDER / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="add --download to fetch it again"):
        sources.source("cifar10", data_dir=place).train()

"""`--download`, tested with a local file server and a small archive in CIFAR-10's format."""

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
    """Serves files without logging requests."""

    def log_message(self, *_: Any) -> None:
        pass


def write_archive(directory: Path) -> dict[str, str]:
    """Writes an archive with few images; returns the MD5 of each file by name."""
    folder = directory / "unpacked" / sources.CIFAR10_FOLDER
    folder.mkdir(parents=True)
    meta = {"label_names": list(sources.CIFAR10_CLASSES)}
    contents: dict[str, Any] = {"batches.meta": meta}
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
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of an archive that torchvision downloads instead of the published one."""
    directory = tmp_path / "served"
    directory.mkdir()
    digests = write_archive(directory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{ARCHIVE}"
    monkeypatch.setattr(CIFAR10, "url", url)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(directory / ARCHIVE))
    train_list = [[name, digests[name]] for name in sorted(digests) if name.startswith("data_")]
    monkeypatch.setattr(CIFAR10, "train_list", train_list)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", digests["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": digests["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    yield directory / ARCHIVE
    server.shutdown()
    server.server_close()


def test_data_are_downloaded_once_and_read(archive: Path, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    source = sources.source("cifar10", data_dir=directory, download=True)
    assert (source.name, source.origin) == ("CIFAR-10", "real")
    train: Any = source.train()
    test: Any = source.test()
    assert (len(train), len(test)) == (5 * PER_BATCH, PER_BATCH)
    image, target = train[PER_BATCH]
    assert image.shape == (3, 32, 32)
    assert target == 3
    assert image.unique().tolist() == pytest.approx([2 / 255 * 2 - 1])
    archive.unlink()
    again: Any = sources.source("cifar10", data_dir=directory, download=True).train()
    assert len(again) == 5 * PER_BATCH
    offline: Any = sources.source("cifar10", data_dir=directory).test()
    assert len(offline) == PER_BATCH


def truncate(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:100])


@pytest.mark.parametrize("damage", [Path.unlink, truncate])
def test_a_failed_download_is_an_error_with_a_remedy(
    damage: Callable[[Path], None], archive: Path, tmp_path: Path
) -> None:
    damage(archive)
    source = sources.source("cifar10", data_dir=tmp_path / "data", download=True)
    with pytest.raises(
        UsageError, match=r"--download: http://127.* could not be downloaded .*leave"
    ):
        source.train()


@pytest.mark.usefixtures("archive")
def test_a_file_damaged_after_the_download_is_an_error(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    sources.source("cifar10", data_dir=directory, download=True).train()
    (directory / sources.CIFAR10_FOLDER / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="add --download to download it again"):
        sources.source("cifar10", data_dir=directory).train()

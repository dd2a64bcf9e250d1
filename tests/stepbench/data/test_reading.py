import hashlib
import io
import os
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from stepbench.data import sources
from stepbench.errors import UsageError

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def files() -> dict[str, bytes]:
    """The content of each file of CIFAR-10, with three images in each batch."""
    rng = np.random.default_rng(0)
    contents = {}
    for name in (*BATCHES, "test_batch"):
        pixels = rng.integers(0, 256, size=(3, 3072), dtype=np.uint8)
        contents[name] = pickle.dumps({"data": pixels, "labels": [0, 1, 2]})
    contents["batches.meta"] = pickle.dumps({"label_names": list(sources.CIFAR10_CLASSES)})
    return contents


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # inherited name
        pass


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of an archive that torchvision downloads from a server on this machine."""
    directory = tmp_path / "directory"
    directory.mkdir()
    contents = files()
    archive = directory / "small.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    meta = {**CIFAR10.meta, "md5": md5(contents["batches.meta"])}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(contents[name])] for name in BATCHES])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(contents["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=directory))
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/small.tar.gz")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield archive
    server.shutdown()
    thread.join()
    server.server_close()


def test_cifar10_is_downloaded_once_and_read(published: Path, tmp_path: Path) -> None:
    source = sources.source("cifar10", data_dir=tmp_path / "new", download=True)
    assert (source.name, source.origin) == ("CIFAR-10", "real")
    assert source.classes == sources.CIFAR10_CLASSES
    train: Any = source.train()
    assert len(train) == 15
    assert tuple(train.classes) == source.classes
    published.unlink()
    assert len(source.test()) == 3  # type: ignore[arg-type]  # Dataset does not promise a length
    offline: Any = sources.source("cifar10", data_dir=tmp_path / "new").train()
    assert (offline.data == train.data).all()


@pytest.mark.usefixtures("published")
def test_cifar10_is_downloaded_into_the_cache_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path / "cache"))
    messages: list[str] = []
    sources.source("cifar10", download=True).prepare(messages.append)
    assert "CIFAR-10" in messages[0]
    assert (tmp_path / "cache" / "published" / "cifar-10-batches-py" / "test_batch").is_file()


@pytest.mark.usefixtures("published")
def test_a_download_repairs_a_damaged_file(tmp_path: Path) -> None:
    sources.source("cifar10", data_dir=tmp_path, download=True).prepare(sources.ignore_report)
    os.truncate(tmp_path / "cifar-10-batches-py" / "data_batch_3", 10)
    with pytest.raises(UsageError, match=r"--data-dir .*damaged; add --download"):
        sources.source("cifar10", data_dir=tmp_path).train()
    repaired: Any = sources.source("cifar10", data_dir=tmp_path, download=True).train()
    assert len(repaired) == 15


def test_an_archive_with_a_wrong_md5_is_refused(published: Path, tmp_path: Path) -> None:
    os.truncate(published, 100)
    with pytest.raises(UsageError, match=r"--download: http.*leave out --download"):
        sources.source("cifar10", data_dir=tmp_path, download=True).train()
    assert not (tmp_path / "cifar-10-batches-py").exists()


def test_a_download_without_a_network_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/small.tar.gz"
        monkeypatch.setattr(CIFAR10, "url", url)
        monkeypatch.setenv("no_proxy", "*")
        with pytest.raises(UsageError, match=r"--download: .*refused.*connect to the network"):
            sources.source("cifar10", data_dir=tmp_path, download=True).train()

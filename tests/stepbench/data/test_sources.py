import contextlib
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset

from stepbench.config import axes
from stepbench.data import cache, tokens
from stepbench.data import sources as data
from stepbench.data.synthetic_images import CLASSES
from stepbench.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's images: two classes, with two images in each part."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for index in range(2):
                image = Image.new("RGB", (300 + index, 260), (index, 2, 3))
                image.save(tmp_path / "pets" / part / name / f"{index}.jpg")
    return tmp_path / "pets"


def test_importing_sources_imports_no_large_package() -> None:
    code = "import sys, stepbench.data.sources; print({'torch', 'numpy', 'PIL'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_generated_cifar10_has_the_published_format() -> None:
    source = data.source("cifar10")
    assert (source.name, source.origin) == ("CIFAR-10 format", "generated")
    assert source.classes == CLASSES
    assert source.image_size == 32
    train: Any = source.train()
    test: Any = source.test()
    assert (len(train), len(test)) == (10_000, 2_000)
    assert tuple(train.classes) == source.classes
    assert torch.bincount(torch.tensor(test.targets)).tolist() == [200] * 10
    image, target = train[0]
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.float32
    assert -1 <= image.min() < 0 < image.max() <= 1
    assert target == train.targets[0]


def test_images_are_scaled_up_for_a_model_that_needs_larger_ones() -> None:
    source = data.source("cifar10", image_size=63)
    train: Any = source.train()
    assert source.image_size == 63
    assert train[0][0].shape == (3, 63, 63)
    assert data.source("cifar10", image_size=16).image_size == 32


def test_generated_jpegs_are_decoded_and_cropped() -> None:
    source = data.source("jpeg")
    assert (source.name, source.origin, source.image_size) == ("JPEG files", "generated", 224)
    train: Any = source.train()
    test: Any = source.test()
    assert (len(train), len(test)) == (1_000, 200)
    assert tuple(train.classes) == tuple(test.classes) == source.classes
    assert train[0][0].shape == test[0][0].shape == (3, 224, 224)
    assert not torch.equal(train[0][0], train[0][0])
    assert torch.equal(test[0][0], test[0][0])
    path, _ = train.samples[0]
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        assert all(256 <= side <= 320 for side in picture.size)


@pytest.mark.parametrize("name", axes.DATASETS)
def test_preparing_reports_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path))
    messages: list[str] = []
    data.source(name).prepare(messages.append)
    assert len(messages) == 1
    assert messages[0].startswith("generating 1")
    data.source(name).prepare(messages.append)
    assert len(messages) == 1


def test_a_damaged_batch_is_generated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path))
    source = data.source("cifar10")
    first: Any = source.test()
    (images,) = tmp_path.glob("*/test-images.npy")
    os.truncate(images, 1000)
    again: Any = source.test()
    assert (again.data == first.data).all()


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._proof,)


@pytest.mark.parametrize("name", ["cifar10", "tokens", "jpeg"])
def test_generated_data_are_of_kinds_that_run_no_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file of a cache is replaced by a pickle, with a manifest that agrees."""
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path))
    source = tokens.source(8) if name == "tokens" else data.source(name)
    source.prepare(data.ignore_report)
    proof = tmp_path / "ran"
    (directory,) = tmp_path.iterdir()
    pickled = pickle.dumps(np.array([Attack(proof)], dtype=object))
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    content = header.ljust(127) + b"\n" + pickled
    manifest = json.loads((directory / cache.MANIFEST).read_text())
    for file in manifest:
        (directory / file).write_bytes(content if name == "cifar10" else pickled)
        manifest[file] = hashlib.md5((directory / file).read_bytes()).hexdigest()  # noqa: S324
    (directory / cache.MANIFEST).write_text(json.dumps(manifest))
    with contextlib.suppress(Exception):
        dataset: Any = source.train()
        dataset[0]
    assert not proof.exists()
    np.load(directory / next(iter(manifest)), allow_pickle=True)
    assert proof.exists(), "the attack works where a pickle is read"


def test_sources_and_data_sets_can_be_pickled() -> None:
    sources = pickle.loads(pickle.dumps([data.source(name) for name in axes.DATASETS]))  # noqa: S301  # our own
    items: Any = ConcatDataset([Subset(source.test(), range(2)) for source in sources])
    loader = DataLoader(items, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [target for _, target in loader] == [items[index][1] for index in range(4)]


def test_a_users_folder_of_images(folder: Path) -> None:
    source = data.source("jpeg", data_dir=folder, image_size=299)
    assert (source.name, source.origin, source.image_size) == ("images in pets", "user", 299)
    assert source.classes == ("cat", "dog")
    for part in (source.train, source.test):
        dataset: Any = part()
        assert len(dataset) == 4
        assert dataset[0][0].shape == (3, 299, 299)


def test_test_is_preferred_to_val(folder: Path) -> None:
    (folder / "val").rename(folder / "test")
    (folder / "val").mkdir()
    test: Any = data.source("jpeg", data_dir=folder).test()
    assert Path(test.root) == folder / "test"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cifar", {}, r"--dataset cifar: .*did you mean cifar10\?"),
        ("mnist", {}, r"--dataset mnist: .*choose from cifar10, jpeg"),
        ("cifar10", {"data_dir": "nowhere"}, r"--data-dir .*nowhere: there is no such directory"),
        ("cifar10", {"data_dir": "pets"}, r"pets: does not contain cifar-10-batches-py.*download"),
        ("jpeg", {"download": True}, r"--download: only CIFAR-10 can be downloaded"),
        ("jpeg", {"data_dir": "pets/train"}, r"pets/train: lacks train/"),
    ],
)
def test_unusable_options_are_an_error_with_a_remedy(
    folder: Path, name: str, arguments: dict[str, Any], message: str
) -> None:
    if "data_dir" in arguments:
        arguments = {"data_dir": folder.parent / arguments["data_dir"]}
    with pytest.raises(UsageError, match=message):
        data.source(name, **arguments)


def test_the_batches_folder_itself_gets_a_suggestion(tmp_path: Path) -> None:
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    with pytest.raises(UsageError, match=f"name its parent directory: {tmp_path};"):
        data.source("cifar10", data_dir=batches)


def test_a_missing_part_is_refused(folder: Path) -> None:
    (folder / "val").rename(folder / "valid")
    with pytest.raises(UsageError, match=r"lacks test/ or val/"):
        data.source("jpeg", data_dir=folder)


def test_parts_with_different_classes_are_refused(folder: Path) -> None:
    (folder / "val" / "cow").mkdir()
    with pytest.raises(UsageError, match=r"'cow' is in only one of train/ and val/"):
        data.source("jpeg", data_dir=folder)


def test_an_empty_image_folder_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    with pytest.raises(UsageError, match=r"train/ is empty"):
        data.source("jpeg", data_dir=tmp_path)


def test_a_class_without_images_is_refused(folder: Path) -> None:
    for image in (folder / "train" / "cat").iterdir():
        image.unlink()
    with pytest.raises(UsageError, match=r"--data-dir .*pets: .*cat.*give it images"):
        data.source("jpeg", data_dir=folder).train()

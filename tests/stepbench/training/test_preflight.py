import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.errors import UsageError
from stepbench.training.preflight import preflight
from stepbench_reports.schema.run import SamplingOptions

Tiny = Callable[..., Path]


@pytest.fixture(autouse=True)
def user_modules_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import sys

    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        if name.startswith("tiny"):
            del sys.modules[name]


def check(tmp_path: Path, **values: object) -> dict[str, str]:
    case = Case(**{"workload": "convnet", **values})  # type: ignore[arg-type]
    request = Request(case=case, sampling=SamplingOptions(), compile_cache=tmp_path)
    return preflight(lambda _: None, (request,))


def test_a_good_workload_passes_and_the_devices_are_returned(tmp_path: Path, tiny: Tiny) -> None:
    assert "cpu" in check(tmp_path, workload=f"{tiny()}:make")


def test_the_shipped_workloads_pass(tmp_path: Path) -> None:
    assert check(tmp_path, workload="convnet")
    assert check(tmp_path, workload="resnet18")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workload": "convnt"}, "--workload convnt: there is no such workload; did you mean"),
        ({"workload": "resnet81"}, "resnet18"),
        ({"workload": "no.such:make"}, "there is no module 'no.such'"),
        (
            {"batch_size": 20_000},
            "--batch-size 20000: the dataset of --workload convnet has 10000",
        ),
        ({"device": "xpu"}, "--device xpu: this machine has no such device; choose from cpu"),
    ],
)
def test_what_does_not_exist_is_named(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        check(tmp_path, **values)
    assert message in str(raised.value)


ARGUMENTS = "loss=torch.nn.CrossEntropyLoss(), optimizer=lambda ps: torch.optim.SGD(ps, lr=0.01)"


def with_dataset(expression: str) -> str:
    return (
        "def make(): return Workload(model=lambda: torch.nn.Linear(8, 2), "
        f"dataset=lambda: {expression}, {ARGUMENTS})"
    )


def with_batches(expression: str) -> str:
    return (
        "def make(): return Workload(model=lambda: torch.nn.Linear(8, 2), "
        f"batches=lambda batch_size: {expression}, {ARGUMENTS})"
    )


def with_loader(expression: str) -> str:
    return with_dataset(f"Data(), loader={expression}")


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("mak", "", "has no function 'mak'; did you mean make?"),
        ("make", "def make(): raise ValueError('no weights')", "raised ValueError: no weights"),
        ("make", "def make(): raise SystemExit(3)", ": raised SystemExit: 3 (line "),
        ("make", "def make(): raise KeyboardInterrupt", ": raised KeyboardInterrupt (line "),
        ("make", "raise SystemExit('no GPU')", "could not be imported: SystemExit: no GPU (line "),
        ("make", "def make(): return 3", ": returned int; return a stepbench.Workload"),
        ("make", "import absent_package", "No module named 'absent_package'"),
        ("make", "def (", "could not be imported"),
        (
            "make",
            "Data.__len__ = lambda self: -1",
            "no usable length (__len__() should return >= 0)",
        ),
        ("make", "Data.__len__ = lambda self: 2**70", "has no usable length (cannot fit 'int'"),
        ("make", "Data.__len__ = lambda self: 2**60", "has 1,152,921,504,606,846,976 items, and"),
        ("make", "Data.__len__ = lambda self: '64'", "has no usable length ('str' object cannot"),
        (
            "make",
            "def fail(self): raise SystemExit(3)\nData.__len__ = fail",
            "has a dataset that raised SystemExit: 3 (line ",
        ),
        ("make", with_dataset("Data"), "the dataset is the class Data; return Data(...)"),
        ("make", with_dataset("None"), "the dataset is None; return an object with __len__"),
        ("make", with_dataset("iter([1])"), "the dataset is of type list_iterator; return"),
        (
            "make",
            with_dataset("torch.utils.data.DataLoader(Data())"),
            "the dataset is a DataLoader; return the data set that it loads",
        ),
        (
            "make",
            with_batches("lambda: torch.zeros(9, 8)"),
            "called with the batch size 4, and made tensors of shape (9, 8); make batches of",
        ),
        ("make", with_batches("gone"), "has batches that raised NameError: name 'gone' is not"),
        ("make", with_loader("3"), "Workload(loader=...): is int; give the arguments"),
        ("make", with_loader("{'speed': 3}"), "unexpected keyword argument 'speed'"),
        ("make", "Data.__len__ = lambda self: 0", "the dataset (Data) has no items"),
        ("make", "del Data.__len__", "has no length"),
        (
            "make",
            "def fail(self): raise OSError('disk gone')\nData.__init__ = fail",
            "has a dataset that raised OSError: disk gone",
        ),
        (
            "make",
            "def make(): return Workload(model=3, dataset=Data, loss=id, optimizer=id)",
            "Workload(model=...): is int",
        ),
    ],
)
def test_a_user_s_mistake_is_named(
    tmp_path: Path, tiny: Tiny, name: str, more: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        check(tmp_path, workload=f"{tiny('tiny_mistake.py', more)}:{name}")
    assert message in str(raised.value)
    location = re.search(r"\(line \d+ of (.*)\)", str(raised.value))
    assert location is None or Path(location[1]).name == "tiny_mistake.py"


def test_a_file_with_the_name_of_a_loaded_module_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="rename the file"):
        check(tmp_path, workload=f"{tiny('json.py')}:make")


def test_a_data_set_that_raises_where_the_loader_is_made_is_named(
    tmp_path: Path, tiny: Tiny
) -> None:
    path = tiny(
        "tiny_late.py",
        "import dataclasses\nold = make\nclass Late(Data):\n    asked = False\n"
        "    def __len__(self):\n        if self.asked:\n"
        "            raise RuntimeError('the file is gone')\n"
        "        self.asked = True\n        return 64\n"
        "def make():\n    return dataclasses.replace(old(), dataset=Late, loader={'timeout': 0})\n",
    )
    with pytest.raises(UsageError, match=r"raised RuntimeError: the file is gone \(line \d+ of"):
        check(tmp_path, workload=f"{path}:make")

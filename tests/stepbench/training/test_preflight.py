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


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("mak", "", "has no function 'mak'; did you mean make?"),
        ("make", "def make(): raise ValueError('no weights')", "raised ValueError: no weights"),
        ("make", "def make(): return 3", ": returned int; return a stepbench.Workload"),
        ("make", "import absent_package", "No module named 'absent_package'"),
        ("make", "def (", "could not be imported"),
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


def test_a_file_with_the_name_of_a_loaded_module_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    with pytest.raises(UsageError, match="rename the file"):
        check(tmp_path, workload=f"{tiny('json.py')}:make")

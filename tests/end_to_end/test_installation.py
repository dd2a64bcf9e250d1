"""The installed wheel adds two top-level names, and does not shadow modules of users."""

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("bench", "models", "reports", "tests")
"""Names that users give to modules and packages."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and its dependencies.

    The dependencies come from this environment, by a `.pth` file. Nested `.pth` files are not read,
    so an editable installation of stepbench in this environment is not visible.
    """
    directory = tmp_path_factory.mktemp("installation")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory), cwd=ROOT)
    (wheel,) = directory.glob("*.whl")
    venv.create(directory / "env", with_pip=False)
    python = directory / "env" / "bin" / "python"
    packages = Path(run(str(python), "-c", "import sysconfig as s; print(s.get_path('purelib'))"))
    before = set(packages.iterdir())
    uv = (sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps")
    run(*uv, "--python", str(python), str(wheel))
    added = {path.name for path in set(packages.iterdir()) - before}
    (directory / "added.json").write_text(json.dumps(sorted(added)))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def module(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("MINE = True\n")


def a_module(directory: Path) -> None:
    for name in NAMES:
        module(directory / f"{name}.py")


def a_package(directory: Path) -> None:
    for name in NAMES:
        module(directory / name / "__init__.py")
        module(directory / name / "net.py")


def a_namespace(directory: Path) -> None:
    for name in NAMES:
        module(directory / name / "net.py")


def a_module_beside_a_namespace(directory: Path) -> None:
    """As in nanoGPT: `bench.py`, and directories without `__init__.py`."""
    module(directory / "bench.py")
    for name in ("models", "reports", "tests"):
        module(directory / name / "net.py")


def packages_in_src(directory: Path) -> None:
    for name in NAMES:
        module(directory / "src" / name / "__init__.py")
        module(directory / "src" / name / "net.py")


LAYOUTS = [a_module, a_package, a_namespace, a_module_beside_a_namespace, packages_in_src]
PROBE = """
import importlib, pathlib, sys

def paths(names, nets):
    loaded = [importlib.import_module(name) for name in names]
    loaded += [importlib.import_module(f"{name}.net") for name in nets]
    return [str(pathlib.Path(getattr(m, "__file__", None) or list(m.__path__)[0])) for m in loaded]

def probe(report, names, nets):
    return paths(names, nets)
"""
DIRECT = """
import json, sys
sys.path[:0] = sys.argv[2:]
import probing
import stepbench, stepbench.api, stepbench.cli, stepbench_reports
print(json.dumps(probing.paths(*json.loads(sys.argv[1]))))
"""
CASE = """
import json, sys
from pathlib import Path
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
server = ForkServer(("stepbench.process.fork_loop",), [*sys.argv[2:], *sys.path], Path.cwd())
job = Job("probing:probe", tuple(json.loads(sys.argv[1])))
outcome = server.run(job, deadline_s=120, on_progress=lambda _: None)
server.close()
print(json.dumps(outcome.result or outcome.reason))
"""


def test_only_stepbench_s_names_are_added(installed: Path) -> None:
    added = json.loads((installed.parents[2] / "added.json").read_text())
    (info,) = [name for name in added if name.endswith(".dist-info")]
    assert info.startswith("stepbench-")
    assert {*added} - {info} == {"stepbench", "stepbench_reports"}


@pytest.mark.parametrize("script", [DIRECT, CASE], ids=["direct", "case"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_modules_of_users_are_not_shadowed(
    installed: Path, tmp_path: Path, layout: object, script: str
) -> None:
    assert callable(layout)
    layout(tmp_path)
    (tmp_path / "probing.py").write_text(PROBE)
    source = [str(tmp_path / "src")] if (tmp_path / "src").is_dir() else []
    root = tmp_path / "src" if source else tmp_path
    nets = [name for name in NAMES if (root / name / "net.py").is_file()]
    request = json.dumps([list(NAMES), nets])
    paths = json.loads(run(str(installed), "-c", script, request, *source, cwd=tmp_path))
    assert len(paths) == len(NAMES) + len(nets)
    assert all(Path(path).is_relative_to(tmp_path) for path in paths), paths


def test_preloaded_modules_have_none_of_these_names(installed: Path) -> None:
    code = (
        "import importlib, sys\n"
        "from stepbench.runner.preload import PRELOAD, PRELOAD_COMPILE, PRELOAD_PROFILE\n"
        "names = (*PRELOAD, *PRELOAD_COMPILE, *PRELOAD_PROFILE)\n"
        "for name in names: importlib.import_module(name)\n"
        f"print(sorted({set(NAMES)!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    assert run(str(installed), "-c", code) == "[]"


def test_a_workload_that_imports_these_names_is_measured(
    installed: Path, tmp_path: Path, tiny: Callable[..., Path]
) -> None:
    a_module_beside_a_namespace(tmp_path)
    tiny("train.py", "import bench; from models.net import MINE; import reports.net, tests.net")
    quick = (
        "--batch-size", "4", "--num-workers", "0", "2", "--compile", "off", "--steps", "3",
        "--no-parity",
    )  # fmt: skip
    run(
        str(installed), "-m", "stepbench", "run", "--workload", "train.py:make", *quick,
        cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "results" / "latest" / "report.md").is_file()


def test_the_shipped_workloads_are_installed_with_it(installed: Path) -> None:
    code = (
        "from stepbench.workload.shipped import SHIPPED; "
        "print(sorted(path.name for path in SHIPPED.glob('*.py')))"
    )
    shipped = run(str(installed), "-c", code)
    assert shipped == str(sorted(path.name for path in (ROOT / "models").glob("*.py")))

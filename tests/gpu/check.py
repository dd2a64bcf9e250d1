"""Proves stepbench's figures on an NVIDIA card, in under 8 minutes; README.md says how.

Usage: python tests/gpu/check.py [DIRECTORY] [--only STAGE ...]. The exit code is 0 if every
criterion passes, 1 if one does not, and 4 without a card.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from stages import HERE, REFERENCE, ROOT, STAGES, Ended, remove, run_stages

NO_CARD = 4
PAGE = "gpu.md"
SLOWER = ('"backward": 12_000_000', '"backward": 13_200_000')
"""The change of the second commit in the regression check's repository: a tenth more work."""


def missing_card() -> str | None:
    """What is missing for the check, and the remedy; `None` if a card can be used."""
    try:
        import torch  # it may be missing
    except ImportError:
        return "torch is not installed; run `nox -s gpu`, which installs it"
    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is built without CUDA; install a build with CUDA, "
            f"see https://pytorch.org/get-started/locally/"
        )
    if not torch.cuda.is_available():
        return (
            "torch finds no NVIDIA card; run this on a machine with a card and its driver "
            "(`nvidia-smi` lists it), and without an empty CUDA_VISIBLE_DEVICES"
        )
    return None


def prepare(directory: Path) -> None:
    """Writes the workload, and a repository whose second commit has more work in backward."""
    shutil.copy(HERE / "truth_gpu.py", directory)
    remove(directory / "gate")
    (directory / "gate").mkdir()
    work = directory / "gate" / "work.py"
    base = (HERE / "truth_gpu.py").read_text()
    git = ["git", "-C", str(directory / "gate"), "-c", "user.name=check", "-c", "user.email=c@c"]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
        for text in (base, base.replace(*SLOWER)):
            work.write_text(text)
            subprocess.run([*git, "add", "."], check=True)
            subprocess.run([*git, "commit", "-qm", "work"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the stage gate will fail, as its repository could not be made: {error}")


def page(table: str, ended: Mapping[str, Ended], directory: Path) -> str:
    """The result as a page in Markdown, to be copied to docs/studies/gpu.md."""
    reference = directory / REFERENCE
    by_hand = json.loads(reference.read_text()) if reference.exists() else {}
    card, torch = by_hand.get("device", "an unknown card"), by_hand.get("torch", "unknown")
    stages = "; ".join(f"{name} {stage.outcome}" for name, stage in ended.items())
    return f"""# Is stepbench right on an NVIDIA card?

Figures by hand are measured with torch and the clock alone, by `tests/gpu/reference.py`.

{table}

{card}, torch {torch}, driver {driver()}; {datetime.now(UTC):%Y-%m-%d}. Stages: {stages}.
Repeat it with `nox -s gpu`, and copy `results/gpu/{PAGE}` to `docs/studies/{PAGE}`.
"""


def driver() -> str:
    """The version of NVIDIA's driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown"
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
    return listed[0] if listed else "unknown"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("results/gpu"))
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="STAGE",
        help=f"repeat these stages only, of {', '.join(names)}; keeps the others' results",
    )  # fmt: skip
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Runs the stages, judges their results, and writes and prints the page."""
    chosen = options(arguments)
    missing = missing_card()
    if missing is not None:
        print(missing, file=sys.stderr)
        return NO_CARD
    sys.path[1:1] = [str(ROOT / "bench"), str(ROOT / "reports")]  # it may not be installed
    import judge  # without a card, its imports may be missing as well

    directory: Path = chosen.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    prepare(directory)
    ended = run_stages([stage for stage in STAGES if stage.name in chosen.only], directory)
    rows = judge.judge_all(directory)
    text = page(judge.table(rows), ended, directory)
    (directory / PAGE).write_text(text)
    print(f"\n{text}\nwritten to {directory / PAGE}")
    return judge.exit_code(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""GPUs are hidden from every test but those that ask for one."""

import os
import subprocess
import sys

import pytest

from support import gpus

SHOWN = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES', 'unset'))"


def visible_to_children() -> str:
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_tests_and_their_children_see_no_gpu() -> None:
    import torch

    assert visible_to_children() == ""
    assert not torch.cuda.is_available()


@pytest.mark.parametrize(("value", "shown"), [(None, "unset"), ("0,1", "0,1"), ("", "")])
def test_what_was_visible_is_shown_to_children_also_in_a_worker(
    monkeypatch: pytest.MonkeyPatch, value: str | None, shown: str
) -> None:
    monkeypatch.setenv(gpus.BEFORE, "to be restored")
    monkeypatch.delenv(gpus.BEFORE)
    if value is None:
        monkeypatch.delenv(gpus.VARIABLE)
    else:
        monkeypatch.setenv(gpus.VARIABLE, value)
    gpus.hide()
    gpus.hide()  # as a worker of xdist does, which inherits the variables
    assert os.environ[gpus.VARIABLE] == ""
    with monkeypatch.context() as context:
        gpus.show(context)
        assert visible_to_children() == shown
    assert visible_to_children() == ""

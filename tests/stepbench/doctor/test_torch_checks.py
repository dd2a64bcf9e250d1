import pytest

from stepbench.devices.cuda import CUDA
from stepbench.doctor.diagnosis import Ability
from stepbench.doctor.probe import TorchFacts
from stepbench.doctor.torch_checks import accelerators, check_torch, diagnose, nvml
from stepbench.process.job import Outcome
from stepbench_reports.schema.status import Status

CPU = TorchFacts("2.9.0", {"cpu": "a processor"})
GPU = TorchFacts("2.9.0", {"cpu": "a processor", "cuda": "NVIDIA H200"}, driver="570.1")


@pytest.mark.usefixtures("forked_servers")
def test_torch_is_asked_in_a_child() -> None:
    import torch

    diagnoses = {diagnosis.name: diagnosis for diagnosis in check_torch(lambda _: None)}
    assert set(diagnoses) == {"torch", "fork", "GPU", "NVML"}
    assert torch.__version__ in diagnoses["torch"].finding
    assert diagnoses["GPU"].ability is Ability.MISSING  # the tests hide all GPUs


def test_without_torch_nothing_can_be_measured() -> None:
    failed = Outcome(Status.ERROR, reason="ModuleNotFoundError: No module named 'torch'")
    (diagnosis,) = diagnose(failed, "Linux")
    assert diagnosis.prevents_measuring
    assert "No module named 'torch'." in diagnosis.finding
    assert "import torch" in (diagnosis.remedy or "")


@pytest.mark.parametrize(
    ("system", "ability"), [("Linux", Ability.OK), ("Darwin", Ability.LIMITED)]
)
def test_only_linux_forks(system: str, ability: Ability) -> None:
    outcome = Outcome(Status.OK, result=CPU, start_s=0.012)
    by_name = {diagnosis.name: diagnosis for diagnosis in diagnose(outcome, system)}
    assert by_name["fork"].ability is ability
    assert ("12 ms" in by_name["fork"].finding) == (system == "Linux")


def test_a_gpu_that_torch_cannot_use_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert accelerators(GPU).finding == "torch can use NVIDIA H200."
    assert accelerators(CPU).ability is Ability.MISSING
    monkeypatch.setattr(CUDA, "seems_present", lambda _: True)
    without_cuda = TorchFacts("2.9.0+cpu", {"cpu": ""}, no_cuda_reason="torch lacks CUDA")
    diagnosis = accelerators(without_cuda)
    assert diagnosis.ability is Ability.LIMITED
    assert "torch lacks CUDA" in diagnosis.finding


def test_nvml_matters_where_there_is_an_nvidia_gpu() -> None:
    assert "driver 570.1" in nvml(GPU).finding
    assert nvml(CPU).ability is Ability.MISSING
    assert nvml(TorchFacts("2.9.0", {"cpu": "", "cuda": ""})).ability is Ability.LIMITED

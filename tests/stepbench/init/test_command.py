"""Workload files written for scripts of several styles, and tried."""

from pathlib import Path

import pytest

from stepbench.init.command import DOES_NOT_TRAIN, main
from stepbench_reports.command_line import USAGE_ERROR
from support.scripts import HERE, write_mnist

MODEL = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CLASSES = 3


class Digits(Dataset):
    def __init__(self, count, transform=None):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.randn(8), index % CLASSES


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(8, width)

    def forward(self, x):
        return self.inner(x).relu()


class Net(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.layer = Layer(width)
        self.scores = nn.Linear(width, classes)

    def forward(self, x):
        return self.scores(self.layer(x))
"""
LOOP = """
width = 16
model = Net(width, CLASSES).to("cuda" if torch.cuda.is_available() else "cpu")
model = torch.compile(model)
loader = DataLoader(Digits(64), 16, shuffle=True)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
for epoch in range(2):
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
raise SystemExit("this script was run")
"""
LIGHTNING = """
import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset


class Lit(L.LightningModule):
    def __init__(self, width=8):
        super().__init__()
        self.layer = torch.nn.Linear(width, 2)

    def training_step(self, batch, index):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.layer(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


if __name__ == "__main__":
    data = TensorDataset(torch.randn(64, 8), torch.zeros(64).long())
    L.Trainer(max_epochs=1).fit(Lit(), DataLoader(data, batch_size=16))
"""
BATCHES_BY_NAME = """
def main(options):
    model = Net(options.width, CLASSES)
    loader = DataLoader(Digits(64), batch_size=options.size, shuffle=True)
    optimizer = torch.optim.SGD(
        [{"params": model.layer.parameters()}, {"params": model.scores.parameters(), "lr": 0.5}],
        lr=0.1,
    )
    for batch in loader:
        loss = nn.functional.cross_entropy(model(batch["x"]), batch["y"], label_smoothing=0.1)
        loss.backward()
        optimizer.step()
"""


@pytest.fixture(autouse=True)
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fields_of(path: Path) -> dict[str, str]:
    """The fields of the workload in a file, as its lines give them."""
    lines = path.read_text().partition("    return Workload(\n")[2].splitlines()[:-1]
    return {
        name.strip(): value.partition("  # ")[0].rstrip(",")
        for name, _, value in (line.partition("=") for line in lines)
    }


@pytest.mark.usefixtures("forked_servers")
def test_a_plain_loop_is_copied_from_and_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.py").write_text(MODEL + LOOP)
    assert main(["plain.py"]) == 0
    assert fields_of(tmp_path / "bench_plain.py") == {
        "model": "lambda: Net(16, 3)",
        "dataset": "lambda: Digits(64)",
        "loss": "nn.CrossEntropyLoss(label_smoothing=0.1)",
        "optimizer": "lambda parameters: torch.optim.AdamW(parameters, lr=0.0003)",
        "clip": "lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 1.0)",
    }
    printed = capsys.readouterr().out
    assert "Tried: 2 steps on the CPU" in printed
    assert "stepbench run --workload bench_plain.py:make --batch-size 16" in printed


@pytest.mark.usefixtures("forked_servers")
def test_a_script_with_main_and_argparse_is_imported_and_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mnist.py").write_text((HERE / "mnist.py").read_text())
    write_mnist(tmp_path / "data")
    assert main(["mnist.py", "--output", "work.py"]) == 0
    assert "from mnist import Net\n" in (tmp_path / "work.py").read_text()
    fields = fields_of(tmp_path / "work.py")
    assert fields["loss"] == "functional.nll_loss"
    assert fields["optimizer"] == "lambda parameters: optim.Adadelta(parameters, lr=1.0)"
    assert "transforms.Normalize((0.1307,), (0.3081,))" in fields["dataset"]
    printed = capsys.readouterr().out
    assert "Tried: 2 steps on the CPU" in printed
    assert "stepbench run --workload work.py:make --batch-size 64" in printed


def test_a_lightning_module_is_wrapped(tmp_path: Path) -> None:
    (tmp_path / "lit.py").write_text(LIGHTNING)
    assert main(["lit.py", "--no-try"]) == 0
    assert "        self.module = Lit()\n" in (tmp_path / "bench_lit.py").read_text()
    assert fields_of(tmp_path / "bench_lit.py") == {
        "model": "TrainingStep",
        "dataset": "lambda: TensorDataset(torch.randn(64, 8), torch.zeros(64).long())",
        "loss": "lambda loss, _: loss",
        "optimizer": "lambda model: model.module.configure_optimizers()",
        "split": "lambda batch: ((batch,), None)",
    }


@pytest.mark.parametrize(
    ("computed", "written"),
    [
        (
            "nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())",
            (
                "lambda output, target: nn.functional.cross_entropy(output.flatten(0, 1), "
                "target.flatten())"
            ),
        ),
        (
            "criterion(model(x).squeeze(1).float(), y)",
            (
                "lambda output, target: "
                "nn.CrossEntropyLoss(label_smoothing=0.1)(output.squeeze(1).float(), target)"
            ),
        ),
        ("criterion(model(x), y)", "nn.CrossEntropyLoss(label_smoothing=0.1)"),
        ("criterion(model(x), y) * 0.5", "..."),
        ("criterion(model(x), y) + nn.functional.mse_loss(model(x), y)", "..."),
    ],
)
def test_what_a_script_does_with_its_loss_is_kept_or_left_to_fill_in(
    tmp_path: Path, computed: str, written: str
) -> None:
    assert "criterion(model(x), y)" in LOOP
    (tmp_path / "own.py").write_text(MODEL + LOOP.replace("criterion(model(x), y)", computed))
    assert main(["own.py", "--no-try"]) == 0
    assert fields_of(tmp_path / "bench_own.py")["loss"] == written


def test_what_is_not_known_is_left_to_fill_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "named.py").write_text(MODEL + BATCHES_BY_NAME)
    assert main(["named.py"]) == 0
    text = (tmp_path / "bench_named.py").read_text()
    assert "model=lambda: Net(..., 3),  # FILL IN: options.width\n" in text
    assert "split=...,  # FILL IN: what the model and the loss get, such as lambda batch: (" in text
    fields = fields_of(tmp_path / "bench_named.py")
    assert fields["loss"] == (
        "lambda output, target: nn.functional.cross_entropy(output, target, label_smoothing=0.1)"
    )
    assert fields["optimizer"].startswith("lambda model: torch.optim.SGD([{'params': model.layer")
    printed = capsys.readouterr().out
    assert "Fill in the lines marked FILL IN (line 16, 20)" in printed
    assert "Tried" not in printed


OPTIONS = """
def read_options():
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("-w", "--net-width", default=4, type=int)
    parser.add_argument("--fast", action="store_true")
    return parser.parse_args()


def main():
    args = read_options()
    model = nn.DataParallel(Net(args.net_width, args)).cuda()
    criterion = nn.CrossEntropyLoss().cuda()
    loader = DataLoader(Digits(64, args.fast), batch_size=32)
    optimizer = torch.optim.SGD(model.parameters(), float(args.data))
    for x, y in loader:
        criterion(model(x), y).backward()


if __name__ == "__main__":
    main()
"""


def test_options_are_replaced_by_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(MODEL + OPTIONS)
    assert main(["train.py"]) == 0
    assert fields_of(tmp_path / "bench_train.py") == {
        "model": "lambda: Net(4, ...)",
        "dataset": "lambda: Digits(64, False)",
        "loss": "nn.CrossEntropyLoss()",
        "optimizer": "lambda parameters: torch.optim.SGD(parameters, float(...))",
    }


@pytest.mark.usefixtures("forked_servers")
def test_a_step_that_fails_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.py").write_text((MODEL + LOOP).replace("nn.Linear(8,", "nn.Linear(9,"))
    assert main(["wrong.py"]) == DOES_NOT_TRAIN
    error = capsys.readouterr().err
    assert "--workload bench_wrong.py:make: raised RuntimeError: " in error
    assert "mat1 and mat2 shapes cannot be multiplied" in error
    assert "bench_wrong.py); correct it and run again" in error


def test_a_class_of_a_package_is_imported_by_its_module(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.py").write_text(MODEL)
    assert main(["models.net:Layer"]) == 0
    text = (tmp_path / "bench_net.py").read_text()
    assert "from models.net import Digits, Layer\n" in text
    assert "model=lambda: Layer(...),  # FILL IN: width\n" in text
    assert "dataset=lambda: Digits(count=...),  # FILL IN: count\n" in text


def test_a_class_of_an_installed_package_and_nothing_at_all(tmp_path: Path) -> None:
    assert main(["torchvision.models:resnet18"]) == 0
    assert fields_of(tmp_path / "bench_models.py")["model"] == "lambda: resnet18()"
    assert main([]) == 0
    compile((tmp_path / "my_bench.py").read_text(), "my_bench.py", "exec")
    assert set(fields_of(tmp_path / "my_bench.py").values()) == {"..."}


def test_a_file_is_not_overwritten_without_being_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.py").write_text(MODEL + LOOP)
    (tmp_path / "bench_plain.py").write_text("mine")
    assert main(["plain.py", "--no-try"]) == USAGE_ERROR
    assert "bench_plain.py: is there already; give --overwrite" in capsys.readouterr().err
    assert (tmp_path / "bench_plain.py").read_text() == "mine"
    assert main(["plain.py", "--no-try", "--overwrite"]) == 0
    assert fields_of(tmp_path / "bench_plain.py")["model"] == "lambda: Net(16, 3)"


def test_a_model_of_another_file_is_imported_from_there(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    script = "from net import *\nfrom net import Digits, Net as Model\nimport torch\n"
    script += "from torch import nn\nfrom torch.utils.data import DataLoader\n"
    loop = LOOP.replace("Net(width, CLASSES)", "Model(width, classes=2)")
    (tmp_path / "train.py").write_text(script + loop)
    assert main(["train.py", "--no-try"]) == 0
    assert "from net import Net as Model\n" in (tmp_path / "bench_train.py").read_text()
    assert fields_of(tmp_path / "bench_train.py")["model"] == "lambda: Model(16, classes=2)"


GAN = (
    MODEL
    + """
generator = Net(8, 8)
discriminator = Layer(8)
optimizers = [
    torch.optim.Adam(generator.parameters()), torch.optim.Adam(discriminator.parameters())
]
"""
)
TWO = MODEL + "class Other(nn.Module):\n    pass\n"


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("def (", ["it.py"], "it.py: line 1 is no Python (invalid syntax); correct it"),
        ("x = 1", ["it.py"], "it.py: defines no model, a class that derives from torch.nn.Module"),
        (TWO, ["it.py"], "models: Net, Other; choose one, such as stepbench init it.py:Net"),
        (TWO, ["it.py:Ne"], "it.py:Ne: there is no such class; did you mean Net"),
        (GAN, ["it.py"], "it.py: trains several models: Net, Layer; choose one, such as stepbench"),
        ("\0", ["it.py"], "it.py: "),
        ("", ["absent.py"], "absent.py: cannot be read (No such file or directory); give a Python"),
        ("", ["it"], "'it': give a script, such as train.py, or a model"),
        ("", ["it.py:"], "'it.py:': give a class after the colon"),
        ("", ["2.py"], "2.py: cannot be imported, as '2' is no name of a module; rename"),
        (TWO, ["it.py:Net", "--output", "bench"], "--output 'bench': give the name of a Python"),
        (TWO, ["it.py:Net", "--output", "sub/bench.py"], "a file there cannot import it.py; give"),
    ],
)  # fmt: skip
def test_wrong_usage_is_named_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "it.py").write_text(text)
    assert main(arguments) == USAGE_ERROR
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["it.py"]

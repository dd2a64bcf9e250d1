"""Scripts that are started as `stepbench script` starts them, without a run around them."""

import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from stepbench.config.turns import Prepare, TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Job, Outcome
from stepbench.scheduling.player import Limits, Player
from stepbench.scripts.requests import ScriptCommand, ScriptEnd, ScriptRequest
from stepbench.scripts.server import ScriptPlace, ScriptServer

LOOP = """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    data = TensorDataset(torch.randn(4096, 8), torch.randint(0, 4, (4096,)))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
"""
"""A loop of 512 steps an epoch, which take some 0.3 ms each."""


def loop(epochs: int = 1000) -> str:
    """The source of a plain loop."""
    return dedent(LOOP).replace("EPOCHS", str(epochs))


@dataclass(frozen=True)
class Ended:
    """How a script ended.

    Attributes:
        outcome: The outcome of its process.
        output: What it printed.
        exit_codes: The exit codes of processes that ended by themselves.
    """

    outcome: Outcome
    output: str
    exit_codes: list[int]


def run(
    directory: Path, source: str, *arguments: str, module: str | None = None, **request: object
) -> Ended:
    """Writes `train.py`, unless a module is named, runs it to its end, and returns how it ended."""
    if module is None:
        (directory / "train.py").write_text(dedent(source))
    script = ScriptCommand(module or "train.py", module is not None, arguments)
    output = directory / "output.txt"
    server = ScriptServer(ScriptPlace(directory, output))
    made = ScriptRequest(script, alone=True, warm_up_s=1.0, **request)  # type: ignore[arg-type]
    with server.start(Job("", (made,))) as child:
        child.send(Prepare(thorough=True))
        outcome = child.outcome(60.0, lambda _: None)
    return Ended(outcome, _settled(output), server.exit_codes)


@dataclass(frozen=True)
class Measured:
    """A script that took turns.

    Attributes:
        turns: The results of the turns.
        end: The facts at its end.
        exit_codes: The exit codes of processes that ended by themselves.
    """

    turns: list[TurnResult]
    end: ScriptEnd
    exit_codes: list[int]


def measure(directory: Path, source: str, turns: int = 2, steps: int = 20) -> Measured:
    """Writes `train.py`, has it take lapped turns, and stops it.

    Raises:
        PlayerLostError: It ended before.
    """
    (directory / "train.py").write_text(dedent(source))
    server = ScriptServer(ScriptPlace(directory, directory / "output.txt"))
    request = ScriptRequest(ScriptCommand("train.py", is_module=False), alone=True, warm_up_s=0.5)
    with Player[ScriptEnd](server, Job("", (request,)), Limits(60.0, lambda _: None)) as player:
        player.prepare(thorough=True)
        results = [player.turn(TakeTurn(TurnKind.LAPPED, steps)) for _ in range(turns)]
        end = player.finish(thorough=True)
    assert end is not None
    return Measured(results, end, server.exit_codes)


def _settled(output: Path) -> str:
    """The output once the thread that writes it has written all."""
    text = None
    while text != (text := output.read_text()):
        time.sleep(0.05)
    return text

"""Players of scripts: a fresh process each, in the working tree or in a scratch copy of it."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from stepbench.config.turns import PlayerFacts, TakeTurn, TurnResult
from stepbench.process.job import Job
from stepbench.scheduling.player import Limits, Player
from stepbench.scripts.options import Changes, ScriptOptions
from stepbench.scripts.requests import ScriptRequest, ScriptTrace
from stepbench.scripts.server import ScriptPlace, ScriptServer
from stepbench.scripts.working_copy import copied, script_in

COMPARED_STEPS = 5
"""The number of first backward passes whose losses are compared with the unchanged script's."""
WARM_UP_SHARE = 0.25
"""The share of the time for a setting after which a warm-up ends without a steady state."""
PLAY = "stepbench.scripts.worker.process:main"


class ScriptPlayer(Player[PlayerFacts]):
    """A script that takes turns.

    Args:
        server: The server that starts the script.
        job: The job with its request.
        limits: The player's limits.
        stack: What ends with the player, such as its copy of the working tree.
        alone: True if no other player takes turns.

    Attributes:
        interrupted: True after Ctrl-C in a turn or at the script's end.
    """

    def __init__(
        self,
        server: ScriptServer,
        job: Job,
        limits: Limits,
        stack: contextlib.ExitStack,
        *,
        alone: bool,
    ) -> None:
        self._stack = stack
        self._alone = alone
        self.interrupted = False
        super().__init__(server, job, limits)

    def __enter__(self) -> Self:
        """Enters a context at whose end the script is gone."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kills the script if it is still alive, and removes its copy."""
        with self._stack:
            super().__exit__(*error)

    def turn(self, command: TakeTurn) -> TurnResult:
        """Has the script take a turn; after Ctrl-C it is the last one of a script by itself.

        Raises:
            PlayerLostError: The script has ended.
        """
        try:
            return super().turn(command)
        except KeyboardInterrupt:
            if self.interrupted or not self._alone:
                raise
            self.interrupted = True
            result: TurnResult = self._answer()
            return replace(result, ended=True)

    def finish(self, *, thorough: bool) -> PlayerFacts | None:
        """Ends the script; the facts of one by itself are kept after Ctrl-C.

        Raises:
            PlayerLostError: The script failed.
        """
        try:
            return super().finish(thorough=thorough)
        except KeyboardInterrupt:
            if self.interrupted or not self._alone:
                raise
            self.interrupted = True
            return self._facts(thorough=thorough)


@dataclass
class ScriptStarter:
    """Starts scripts, and keeps how they ended.

    Attributes:
        options: The options.
        output: The folder for the scripts' output; `None` to let them print.
        on_progress: Called with a few words on the current activity.
        servers: The servers of all scripts so far.
    """

    options: ScriptOptions
    output: Path | None
    on_progress: Callable[[str], None]
    servers: list[ScriptServer] = field(default_factory=list)
    interrupted: bool = False

    def start(
        self, name: str, changes: Changes, *, alone: bool, trace: ScriptTrace | None = None
    ) -> ScriptPlayer:
        """Starts a script.

        Args:
            name: The name of its file of output.
            changes: The settings to replace.
            alone: True to run it without other players beside it.
            trace: The trace to take of it; `None` for none.
        """
        options, tree = self.options, Path.cwd()
        with contextlib.ExitStack() as stack:
            directory = tree
            if options.changes:
                directory = stack.enter_context(copied(tree, options.share))
            output = None if self.output is None else self.output / f"{name}.txt"
            server = ScriptServer(ScriptPlace(directory, output))
            self.servers.append(server)
            request = ScriptRequest(
                script=script_in(directory, tree, options.script),
                alone=alone,
                warm_up_s=WARM_UP_SHARE * options.sampling.max_time_s,
                changes=changes,
                seed=options.seed,
                compared_steps=COMPARED_STEPS if options.changes else 0,
                device=options.device,
                trace=trace,
            )
            limits = Limits(options.sampling.deadline_s, self.on_progress)
            job = Job(PLAY, (request,), label=name)
            return ScriptPlayer(server, job, limits, stack.pop_all(), alone=alone)
        raise AssertionError  # the context never swallows an exception

    @property
    def exit_code(self) -> int:
        """The first exit code other than 0 of a script that ended by itself; 0 without any."""
        codes = [code for server in self.servers for code in server.exit_codes]
        return next((code if code > 0 else 128 - code for code in codes if code), 0)

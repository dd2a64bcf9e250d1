"""All that is beside a script in its process once it has imported torch."""

import os
import sys

import torch

from stepbench.devices import kinds
from stepbench.process.child import Parent
from stepbench.scripts.requests import ScriptEnd, ScriptRequest
from stepbench.scripts.worker.boundaries import Boundaries
from stepbench.scripts.worker.control import EnoughStepsError, StepEnds
from stepbench.scripts.worker.facts import script_end
from stepbench.scripts.worker.observer import ScriptObserver
from stepbench.scripts.worker.recorder import Recorder
from stepbench.scripts.worker.replacing import Replacer
from stepbench.scripts.worker.running import ScriptExit


class Session:
    """The hooks, the marks and the commands in a script's process.

    Args:
        parent: The connection to the parent.
        request: The script.

    Attributes:
        fault: The exception of stepbench's own with which the session failed, if it did.
    """

    def __init__(self, parent: Parent, request: ScriptRequest) -> None:
        self.fault: BaseException | None = None
        self._request = request
        exchangeable = request.trace is not None or kinds.listed_without_torch() != ("cpu",)
        self._recorder = Recorder(self._step_end, exchangeable=exchangeable)
        replacer = Replacer(request.changes)
        self._observer = ScriptObserver(request, self._recorder, replacer)
        self._boundaries = Boundaries(self._recorder, self._observer)
        self._ends = StepEnds(parent, request, self._recorder, self._observer)
        replacer.install(self._boundaries)
        self._boundaries.install()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._boundaries.remove)
        if request.seed is not None:
            self._seed(request.seed)

    def _seed(self, seed: int) -> None:
        torch.manual_seed(seed)
        numpy = sys.modules.get("numpy")  # torch has imported it, if it is there
        if numpy is not None:
            numpy.random.seed(seed)

    def _step_end(self) -> None:
        """Ends the script if stepbench fails, so that its fault is not taken for the script's."""
        try:
            self._ends.step_end()
        except EnoughStepsError:
            raise
        except BaseException as error:
            self.fault = error
            self._boundaries.remove()
            raise EnoughStepsError(1) from error

    @property
    def ready(self) -> bool:
        """True once the warm-up is over."""
        return self._ends.ready

    @property
    def steps(self) -> int:
        """The number of the script's steps."""
        return self._ends.steps

    def close(self) -> None:
        """Takes all hooks away."""
        self._boundaries.remove()

    def end(self, ended: ScriptExit) -> ScriptEnd:
        """Answers what is still asked, and collects the facts."""
        stopped = self._ends.finish is not None
        if not stopped:
            self._ends.end_early()
        words = "was stopped at a step's end" if stopped else ended.words
        code = None if stopped else ended.code
        return script_end(self._request, self._ends, self._observer, code, words)

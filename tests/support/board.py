"""A TensorBoard at work, as its endpoints tell it."""

import gzip
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Board:
    """A TensorBoard at work.

    Attributes:
        run: The run's directory.
        url: Where TensorBoard listens.
    """

    run: Path
    url: str

    def get(self, path: str, **query: object) -> Any:
        """What an endpoint below `/data/` answers."""
        return json.loads(self.raw(path, **query))

    def raw(self, path: str, **query: object) -> bytes:
        """The same as it is sent, unpacked."""
        where = f"{self.url}/data/{path}"
        if query:
            where += f"?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(where, timeout=120) as answer:  # noqa: S310  # on loopback
            content: bytes = answer.read()
            packed = answer.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(content) if packed else content

    def post(self, path: str, content: Any) -> Any:
        """The answer to what is sent to an endpoint."""
        request = urllib.request.Request(  # noqa: S310  # on loopback
            f"{self.url}/data/{path}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return json.loads(answer.read())

    def profile(self, view: str, case: str, **query: object) -> Any:
        """What the profiler's tab is told of a case."""
        return self.get(
            f"plugin/pytorch_profiler/{view}", run=case, worker="cpu", span="1", **query
        )

    def case(self, name: str) -> dict[str, Any]:
        """What stepbench measured of a case."""
        content: dict[str, Any] = json.loads((self.run / "cases" / f"{name}.json").read_text())
        return content

    def profiled(self, name: str) -> dict[str, Any]:
        """And what profiling it found."""
        content = json.loads((self.run / "profiles" / f"{name}.json").read_text())
        assert content["status"] == "ok"
        found: dict[str, Any] = content["profile"]
        return found

"""Queries the endpoints of a running TensorBoard."""

import gzip
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Board:
    """A running TensorBoard.

    Attributes:
        run: The run's directory.
        url: TensorBoard's address.
    """

    run: Path
    url: str

    def get(self, path: str, **query: object) -> Any:
        """The JSON that an endpoint below `/data/` returns."""
        return json.loads(self.raw(path, **query))

    def raw(self, path: str, **query: object) -> bytes:
        """The bytes that an endpoint below `/data/` returns, decompressed."""
        url = f"{self.url}/data/{path}"
        if query:
            url += f"?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=120) as response:  # noqa: S310  # on loopback
            content: bytes = response.read()
            compressed = response.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(content) if compressed else content

    def post(self, path: str, content: Any) -> Any:
        """Sends JSON to an endpoint, and returns the JSON of the response."""
        request = urllib.request.Request(  # noqa: S310  # on loopback
            f"{self.url}/data/{path}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
            return json.loads(response.read())

    def profile(self, view: str, case: str, **query: object) -> Any:
        """The data of a view in the profiler's tab, for a case."""
        return self.get(
            f"plugin/pytorch_profiler/{view}", run=case, worker="cpu", span="1", **query
        )

    def case(self, name: str) -> dict[str, Any]:
        """A case's measurement file."""
        content: dict[str, Any] = json.loads((self.run / "cases" / f"{name}.json").read_text())
        return content

    def profiled(self, name: str) -> dict[str, Any]:
        """A case's profile, from its file in `profiles/`."""
        content = json.loads((self.run / "profiles" / f"{name}.json").read_text())
        assert content["status"] == "ok"
        profile: dict[str, Any] = content["profile"]
        return profile

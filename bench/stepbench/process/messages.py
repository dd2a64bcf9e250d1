"""Messages between a parent and a child that runs in another Python environment.

A pickle can run code of its sender's choice where it is read, and not every release of Python reads
another's pickles. These messages hold plain values and records of stepbench alone.
"""

import dataclasses
import os
from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PACKAGES = ("stepbench", "stepbench_reports")
"""The packages whose records may be in a message."""


_DAMAGE = (
    msgspec.DecodeError, TypeError, ValueError, LookupError, ImportError, AttributeError,
    RecursionError,
)  # fmt: skip


class MessageError(Exception):
    """A message is damaged, or holds something that is no record of stepbench."""


class Messages(Protocol):
    """An end of a connection that keeps messages apart."""

    def send(self, message: Any, /) -> None:  # noqa: ANN401  # a job, a command or an answer
        """Sends a message."""
        ...

    def recv(self) -> Any:  # noqa: ANN401
        """Receives a message; raises `EOFError` if the connection is closed."""
        ...

    def fileno(self) -> int:
        """Returns the descriptor, which is readable once there is a message."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class RecordMessages:
    """Sends and receives plain values and records instead of pickles.

    Args:
        connection: The connection, which carries only bytes.
    """

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection

    def send(self, message: Any, /) -> None:  # noqa: ANN401
        """Sends a message.

        Raises:
            MessageError: The message holds something that is no record of stepbench.
        """
        self._connection.send_bytes(msgspec.msgpack.encode(_pack(message)))

    def recv(self) -> Any:  # noqa: ANN401
        """Receives a message.

        Raises:
            MessageError: The message is damaged, or holds something that is no record of stepbench.
            EOFError: The connection is closed.
        """
        content = self._connection.recv_bytes()
        try:
            return _unpack(msgspec.msgpack.decode(content))
        except _DAMAGE as error:
            raise MessageError(f"a message could not be read ({error})") from None

    def fileno(self) -> int:
        """Returns the connection's descriptor."""
        return self._connection.fileno()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _pack(value: Any) -> Any:  # noqa: ANN401, PLR0911  # one return for each kind of value
    """Makes a value of lists, numbers, strings and `None`; a list begins with its kind."""
    if isinstance(value, Enum):
        return ["enum", _name(type(value)), value.value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value)  # numpy's number, too
    if isinstance(value, Path):
        return ["path", os.fsencode(value)]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(_pack, value)]
    if isinstance(value, Mapping):
        return ["dict", *([_pack(key), _pack(item)] for key, item in value.items())]
    if isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value):
        fields = {name: _pack(getattr(value, name)) for name in _field_names(type(value))}
        return ["record", _name(type(value)), fields]
    raise MessageError(f"{type(value).__name__}: is no record that a message can hold")


def _unpack(value: Any) -> Any:  # noqa: ANN401, PLR0911
    if not isinstance(value, list):
        return value
    kind, *content = value
    if kind == "path":
        return Path(os.fsdecode(content[0]))
    if kind == "list":
        return [_unpack(item) for item in content]
    if kind == "tuple":
        return tuple(_unpack(item) for item in content)
    if kind == "dict":
        return {_unpack(key): _unpack(item) for key, item in content}
    record = _record_type(content[0])
    if kind == "enum" and issubclass(record, Enum):
        return record(content[1])
    if kind == "record" and not issubclass(record, Enum):
        return record(**{name: _unpack(item) for name, item in content[1].items()})
    raise MessageError(f"{kind}: is no kind of value in a message")


def _name(record: type) -> str:
    return f"{record.__module__}:{record.__qualname__}"


def _record_type(name: str) -> type:
    """The record's type or the enumeration of a name.

    Raises:
        MessageError: The name is not that of a record or an enumeration of stepbench.
    """
    module, _, qualified = name.partition(":")
    if module.partition(".")[0] in PACKAGES:
        found = getattr(import_module(module), qualified)
        is_record = dataclasses.is_dataclass(found) or issubclass(found, (msgspec.Struct, Enum))
        if isinstance(found, type) and is_record and found.__module__ == module:
            return found
    raise MessageError(f"{name}: is no record of stepbench")


def _field_names(record: type) -> tuple[str, ...]:
    if issubclass(record, msgspec.Struct):
        return record.__struct_fields__
    return tuple(record.__dataclass_fields__)  # type: ignore[attr-defined]  # it is a dataclass

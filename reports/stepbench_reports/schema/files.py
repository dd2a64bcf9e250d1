"""Reads and writes the files of a run's or a check's directory.

Files are written whole or not at all. Files are validated at every depth when they are read; the
error for an unusable file is one sentence that names the file, the field and the fault.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.record import Record
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.text import encodable_texts

TRACE_SUFFIX = ".pt.trace.json.gz"
"""The suffix of trace files, by which torch-tb-profiler recognizes them."""
RUN, CASES, PARITY, TRAIN_PARITY, PROFILES = (
    "run.json", "cases", "parity", "train-parity", "profiles",
)  # fmt: skip
"""The name of `run.json`, and of the folders that hold a file for each case."""
HOSTS, JOBS, REPEATS = "hosts", "jobs", "repeats"
"""The folders of a run on a cluster: its nodes, its jobs, and further measurements of a case."""
CHECK, PAIRS, FACTS, VERDICT = "check.json", "pairs.jsonl", "facts.jsonl", "verdict.json"
"""The files of a check's directory."""

RecordType = TypeVar("RecordType", bound=Record)

_KEY_PATH_PREFIX = "key` in `"
"""The text that msgspec writes before the path of an object with an invalid key."""


class DamageError(Exception):
    """Raised if a file cannot be used.

    Attributes:
        fault: The field and the fault, without the file.
        newer: True if a later stepbench wrote the file, in a schema that this version cannot read.
    """

    def __init__(self, file: Path | str, fault: str, *, newer: bool = False) -> None:
        super().__init__(f"{file}: {fault}")
        self.fault = fault
        self.newer = newer


class _Version(Record, frozen=True, kw_only=True):
    schema: int
    stepbench: str = ""


def read_record(file: Path, record_type: type[RecordType], schema: int) -> RecordType:
    """Reads a file that holds one record.

    Args:
        file: The file.
        record_type: The record's class.
        schema: The schema version that the file must have.

    Raises:
        FileNotFoundError: There is no such file.
        DamageError: The file cannot be used.
    """
    content = read_bytes(file)
    _require_schema(file, content, schema)
    return decode(file, content, record_type)


def read_measurement(file: Path, schema: int) -> MeasurementRecord:
    """Reads `cases/<id>.json`.

    Raises:
        FileNotFoundError: There is no such file.
        DamageError: The file cannot be used.
    """
    content = read_bytes(file)
    _require_schema(file, content, schema)
    record = decode(file, content, MeasurementRecord)
    if record.status is not Status.OK:
        return record
    return msgspec.structs.replace(record, findings=decode(file, content, Findings))


def read_bytes(file: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        FileNotFoundError: There is no such file.
        DamageError: The file cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except IsADirectoryError:
        raise DamageError(file, "is a directory; a file is required") from None
    except OSError as error:
        raise DamageError(file, f"cannot be read ({error.strerror})") from None


def _require_schema(file: Path, content: bytes, schema: int) -> None:
    """Checks the schema version of a file.

    Raises:
        DamageError: The file's version is not `schema`, or the content is not valid.
    """
    version = decode(file, content, _Version)
    if version.schema > schema:
        writer = version.stepbench or "the version that wrote it"
        raise DamageError(
            file,
            f"schema: is {version.schema}, but this stepbench reads up to {schema}; read it with "
            f"stepbench {writer} or later",
            newer=True,
        )
    if version.schema != schema:
        raise DamageError(file, f"schema: is {version.schema}, but this stepbench reads {schema}")


def decode(file: Path | str, content: bytes, record_type: type[RecordType]) -> RecordType:
    """Decodes a record from JSON.

    Args:
        file: The file that holds the JSON, for the error message.
        content: The JSON.
        record_type: The record's class.

    Raises:
        DamageError: The content is not a valid record of this class.
    """
    try:
        return msgspec.json.decode(content, type=record_type)
    except msgspec.ValidationError as error:
        field, fault = field_and_fault(error)
        raise DamageError(file, f"{field or 'top level'}: {fault}") from None
    except RecursionError:
        raise DamageError(file, "is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(file, f"is not valid JSON ({error})") from None


def field_and_fault(error: msgspec.ValidationError) -> tuple[str, str]:
    """Splits the message of a validation error.

    Returns:
        The field, such as `axes.device[0]`, or an empty string for the whole content; and the
        fault, such as "expected `array`, got `int`".
    """
    fault, _, path = str(error).partition(" - at `")
    is_key, within = path.startswith(_KEY_PATH_PREFIX), path.removeprefix(_KEY_PATH_PREFIX)
    field = within.removesuffix("`").removeprefix("$").removeprefix(".")
    return (
        f"a key of {field or 'top level'}" if is_key else field,
        f"{fault[:1].lower()}{fault[1:]}",
    )


def is_cut_off(line: bytes) -> bool:
    """True if a line of a `.jsonl` file is not complete JSON, as after a killed process."""
    try:
        msgspec.json.decode(line)
    except RecursionError:
        return False
    except (msgspec.DecodeError, ValueError):
        return True
    return False


def encode(record: Record) -> bytes:
    """Encodes a record as one line of JSON; texts that are not UTF-8 are escaped.

    Raises:
        DamageError: A value is invalid, such as a number that must be finite and is not.
    """
    try:
        content = _encode(record)
    except UnicodeEncodeError:
        escaped = encodable_texts(msgspec.to_builtins(record))
        content = _encode(msgspec.convert(escaped, type(record)))
    decode(type(record).__name__, content, type(record))
    return content


def _encode(record: Record) -> bytes:
    if not isinstance(record, MeasurementRecord):
        return msgspec.json.encode(record)
    envelope = msgspec.to_builtins(record)
    findings = envelope.pop("findings")
    if record.findings is not None:
        decode("Findings", msgspec.json.encode(record.findings), Findings)
    empty = dict.fromkeys(Findings.__struct_fields__)
    return msgspec.json.encode({**envelope, **(findings or empty)})


def write_record(file: Path, record: Record, *, indented: bool = False) -> None:
    """Writes a record to a file atomically: the file appears once it is complete on the disk.

    Args:
        file: The file.
        record: The record.
        indented: True writes indented JSON, for human readers.

    Raises:
        OSError: The file cannot be written.
        DamageError: A value is invalid, such as a number that must be finite and is not.
    """
    content = encode(record)
    if indented:
        content = msgspec.json.format(content, indent=1)
    with atomic_write(file) as temporary, temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same directory; moves the file to `path` on success.

    The temporary name cannot be foreseen, so that no link can wait there. A link at `path` is
    replaced, and what it points to stays as it is.

    Args:
        path: The final path; missing parent directories are created.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

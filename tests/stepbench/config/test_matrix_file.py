from pathlib import Path

import pytest

from stepbench.config.matrix_file import named_matrix
from stepbench.errors import UsageError

SMALL = "[tool.stepbench.matrix.small]\n"


def refusal(directory: Path, content: str | bytes) -> str:
    """The message for a `pyproject.toml` whose matrix `small` cannot be used."""
    data = content if isinstance(content, bytes) else content.encode()
    (directory / "pyproject.toml").write_bytes(data)
    with pytest.raises(UsageError) as raised:
        named_matrix("small", directory)
    message = str(raised.value)
    assert message.startswith("--matrix small: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.other]", "has no such matrix; add [tool.stepbench.matrix.NAME]"),
        ("[tool.stepbench.matrix.smal]", "did you mean smal?"),
        (SMALL + "batchsize = [4]", "no axis 'batchsize'; did you mean"),
        (SMALL + "batch-size = []", "batch-size has no values"),
        (SMALL + "batch-size = [0]", "--batch-size 0: a batch holds at least one sample"),
        (SMALL + "include = [{ nope = 3 }]", "no axis 'nope'"),
        (SMALL + "include = [{}]", "small.include[0]: is empty; name an axis in it"),
    ],
)
def test_a_wrong_name_or_value_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


TABLE, ARRAY, VALUE = "a table", "an array", "a string, a whole number, true or false"


@pytest.mark.parametrize(
    ("text", "key", "expected", "got"),
    [
        *(
            (text.format(value), key, TABLE, got)
            for text, key in [
                ("tool = {}", "tool"),
                ("[tool]\nstepbench = {}", "tool.stepbench"),
                ("[tool.stepbench]\nmatrix = {}", "tool.stepbench.matrix"),
                ("[tool.stepbench.matrix]\nsmall = {}", "tool.stepbench.matrix.small"),
                (SMALL + "exclude = [{}]", "tool.stepbench.matrix.small.exclude[0]"),
            ]
            for value, got in [
                ("[1]", "an array"), ("'a'", "a string"), ("3", "a whole number"),
                ("false", "true or false"), ("1979-05-27", "a date"),
            ]
        ),
        *(
            (f"{SMALL}{part} = {value}", f"tool.stepbench.matrix.small.{part}", ARRAY, got)
            for part in ("include", "exclude")
            for value, got in [
                ("3", "a whole number"), ("true", "true or false"), ("2.5", "a decimal number"),
                ("{ device = 'cpu' }", "a table"),
            ]
        ),
        (SMALL + "batch-size = 2.5", "tool.stepbench.matrix.small.batch-size", VALUE,
         "a decimal number"),
        (SMALL + "batch-size = [4, [8]]", "tool.stepbench.matrix.small.batch-size[1]", VALUE,
         "an array"),
        (SMALL + "[[tool.stepbench.matrix.small.exclude]]\ndevice = [1]",
         "tool.stepbench.matrix.small.exclude[0].device", VALUE, "an array"),
    ],
)  # fmt: skip
def test_another_type_is_named_with_its_key_and_what_belongs_there(
    tmp_path: Path, text: str, key: str, expected: str, got: str
) -> None:
    file = tmp_path / "pyproject.toml"
    assert f"{file}: {key}: expected {expected}, got {got}; " in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[tool", "is not valid TOML"),
        (b"\xff\xfe\x00binary", "is not UTF-8 text (byte 0)"),
        (SMALL + "batch-size = " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        (SMALL + "batch-size = " + "9" * 5000, "holds a number with thousands of digits"),
        (SMALL + "batch-size = 0x" + "f" * 5000, "expected a whole number <= 9007199254740992"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    assert message in refusal(tmp_path, content)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\); correct the file"):
        named_matrix("small", tmp_path)


def test_wrong_content_of_another_matrix_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        SMALL + "batch-size = 8\n[tool.stepbench.matrix]\nother = 3\n"
    )
    assert named_matrix("small", tmp_path).axes["batch_size"] == (8,)

"""Reports to GitHub Actions: annotations in the job's log, and the job's summary file.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

import os
from pathlib import Path
from typing import Literal

ACTIONS = "GITHUB_ACTIONS"
"""The environment variable that is `true` in a job of GitHub Actions."""
SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the job's summary file."""
TITLE = "stepbench regression"


def annotate(level: Literal["warning", "error"], message: str) -> None:
    """Prints an annotation, which GitHub shows on the job's page; nothing outside of GitHub."""
    if os.environ.get(ACTIONS) == "true":
        print(annotation(level, message), flush=True)


def annotation(level: Literal["warning", "error"], message: str) -> str:
    """A workflow command that makes an annotation of a message, on one line."""
    return f"::{level} title={TITLE}::{escaped(message)}"


def escaped(message: str) -> str:
    """Escapes the message of a workflow command, so that no text in it begins another command."""
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def append_to_summary(markdown: str) -> None:
    """Appends Markdown to the job's summary, if there is one."""
    summary = os.environ.get(SUMMARY)
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(markdown.rstrip("\n") + "\n\n")

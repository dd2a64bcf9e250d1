import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepbench.profiling import chrome_trace
from stepbench_reports.schema.files import TRACE_SUFFIX
from support import gpu_trace


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "deep" / f"a{TRACE_SUFFIX}"
    size = chrome_trace.write(gpu_trace.content(), file)
    assert size == file.stat().st_size
    assert chrome_trace.read(file) == gpu_trace.content()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("text", ["[]", "{}", '{"traceEvents": 1}', "not JSON"])
def test_what_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"traceEvents|Expecting"):
        chrome_trace.read(tmp_path / "a.json")


def test_the_rewritten_trace_has_the_names_that_the_viewer_knows() -> None:
    original = gpu_trace.content()
    rewritten = chrome_trace.for_tensorboard(original)
    assert list(rewritten)[-1] == "traceEvents"  # the viewer adds its tracks at the file's end
    assert rewritten["traceName"] == original["traceName"]
    categories = {
        (event.get("cat"), event["name"]) for event in rewritten["traceEvents"] if "cat" in event
    }
    assert ("cpu_op", "forward") in categories
    assert ("user_annotation", "ProfilerStep#2") in categories
    assert ("gpu_user_annotation", "forward") in categories
    assert ("runtime", "cudaLaunchKernel") in categories
    assert not {"cuda_runtime", "fwdbwd"} & {category for category, _ in categories}
    assert gpu_trace.content() == original  # which is kept as it is
    times = [(event["ts"], event.get("dur")) for event in original["traceEvents"]]
    assert times == [(event["ts"], event.get("dur")) for event in rewritten["traceEvents"]]


WRITER = """
import sys
from pathlib import Path
from stepbench.profiling import chrome_trace
events = [{"ph": "X", "name": f"operator {n}", "ts": n, "dur": 1} for n in range(100_000)]
number = 0
while True:
    chrome_trace.write({"traceEvents": events}, Path(sys.argv[1]) / f"{number}.pt.trace.json.gz")
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.15, 0.3])
def test_a_killed_writer_leaves_whole_files_only(delay_s: float, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # one is there, and the next has begun
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
    files = [file for file in tmp_path.iterdir() if not file.name.startswith(".")]
    assert files
    for file in files:
        assert len(json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]) == 100_000

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.names import MAX_CHARACTERS, CaseId, file_name

SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
HARMFUL = st.one_of(
    st.text(max_size=300),
    st.text("./\\:-_aA \n\x1b\x00*", max_size=12),
    st.sampled_from(["..", ".", "/", "../../x", "a/../b", "C:\\x", "~", "-rf", "\udc80", "é", ""]),
)


@given(text=HARMFUL)
def test_a_name_is_safe_and_short_whatever_the_text(text: str) -> None:
    name = file_name(text)
    if text:
        assert SAFE.fullmatch(name)
    assert len(name) <= MAX_CHARACTERS
    assert file_name(name) == name


@given(texts=st.lists(HARMFUL.filter(bool), unique=True, max_size=8))
def test_different_texts_have_different_names(texts: list[str]) -> None:
    assert len({file_name(text) for text in texts}) == len(texts)


@given(workload=HARMFUL, compile_=HARMFUL, device=HARMFUL, dataset=HARMFUL)
def test_an_id_names_a_file_in_its_folder_whatever_the_values(
    workload: str, compile_: str, device: str, dataset: str
) -> None:
    case = Axes(workload=workload, compile=f"backend:{compile_}", device=device, dataset=dataset)
    assert msgspec.convert(case.id, CaseId) == case.id
    folder = Path("/run/cases")
    assert (folder / f"{case.id}.json").resolve().parent == folder


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (Axes(workload="convnet", batch_size=32), "convnet-cpu-b32-w0-off-fp32"),
        (Axes(workload="a/net.py:make", compile="backend:x"), "net-cpu-b4-w0-backend.x-fp32"),
        (Axes(workload="net.py:other", device="cuda:1"), "net.other-cuda1-b4-w0-off-fp32"),
    ],
)  # fmt: skip
def test_an_ordinary_id_is_made_of_its_labels_alone(case: Axes, name: str) -> None:
    assert case.id == name


@pytest.mark.parametrize("text", ["../x", "a/b", "", "a\n", ".hidden", "-x", "a" * 121, "a\x1b"])
def test_an_id_that_leads_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, CaseId)

"""Renders a decision as JUnit XML, which every CI shows: a test case for each row and fact."""

from xml.etree import ElementTree as ET

from stepbench_reports.regression import words
from stepbench_reports.regression.decision import NOT_MEASURED, Decision, Finding
from stepbench_reports.schema.verdict import Verdict


def render(decision: Decision) -> bytes:
    """The content of `junit.xml`.

    A regression is a failure. An inconclusive row or a case that was not compared is skipped, with
    the reason. A check with exit code `NOT_MEASURED` is an error.
    """
    suite = ET.Element("testsuite", name="stepbench.regression")
    for finding in decision.findings:
        if finding.verdict is not None:
            _add_row(suite, finding)
    for fact in decision.facts:
        case = ET.SubElement(suite, "testcase", classname=fact.case, name=fact.what)
        if fact.verdict is Verdict.REGRESSION:
            ET.SubElement(case, "failure", message=fact.sentence)
    for unmeasured in decision.unmeasured:
        case = ET.SubElement(suite, "testcase", classname=unmeasured.case, name="compared")
        ET.SubElement(case, "skipped", message=unmeasured.reason)
    if decision.exit_code == NOT_MEASURED:
        case = ET.SubElement(suite, "testcase", classname="stepbench", name="check")
        ET.SubElement(case, "error", message=words.headline(decision))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    for element in root.iter():
        element.attrib.update({k: _printable(v) for k, v in element.attrib.items()})
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _printable(text: str) -> str:
    """Removes characters that XML cannot represent, such as those of ANSI colours."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _add_row(suite: ET.Element, finding: Finding) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=words.name(finding.row.case), name=finding.row.what
    )
    change = words.change_range(finding.change)
    if finding.verdict is Verdict.REGRESSION:
        message = f"slower by {change} of the step (p {finding.p:.2g}, {finding.pairs} pairs)"
        ET.SubElement(case, "failure", message=message)
    elif finding.verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=f"inconclusive: {finding.reason}")
    ET.SubElement(case, "system-out").text = change

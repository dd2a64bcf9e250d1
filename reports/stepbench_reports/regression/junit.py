"""Renders a decision as JUnit XML, which every CI shows: a test case for each row and fact."""

from xml.etree import ElementTree as ET

from stepbench_reports.regression import culprit, words
from stepbench_reports.regression.decision import Decision, Finding
from stepbench_reports.regression.headline import headline
from stepbench_reports.schema.text import printable
from stepbench_reports.schema.verdict import CheckOutcome, Verdict
from stepbench_reports.wording import quantity


def render(decision: Decision) -> bytes:
    """The content of `junit.xml`.

    A regression is a failure. A row that follows another one or is not decided is skipped, as is a
    case that was not compared, with the reason. A check that compared nothing, or was interrupted,
    is an error.
    """
    suite = ET.Element("testsuite", name="stepbench.regression")
    for finding in decision.findings:
        if finding.verdict is not None:
            _add_row(suite, decision, finding)
    for fact in decision.facts:
        case = ET.SubElement(suite, "testcase", classname=fact.case, name=fact.what)
        if fact.verdict is Verdict.REGRESSION:
            ET.SubElement(case, "failure", message=fact.sentence)
    for unmeasured in decision.unmeasured:
        case = ET.SubElement(suite, "testcase", classname=unmeasured.case, name="compared")
        ET.SubElement(case, "skipped", message=unmeasured.reason)
    if decision.outcome is CheckOutcome.NOT_COMPARED:
        case = ET.SubElement(suite, "testcase", classname="stepbench", name="check")
        ET.SubElement(case, "error", message=headline(decision))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    for element in root.iter():
        element.attrib.update({name: printable(text) for name, text in element.attrib.items()})
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _add_row(suite: ET.Element, decision: Decision, finding: Finding) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=words.name(finding.row.case), name=finding.row.what
    )
    change = quantity.percent_change(finding.change)
    phase = culprit.follows(decision, finding)
    if phase is not None:
        ET.SubElement(case, "skipped", message=f"slower by {change} of the step; follows {phase}")
    elif finding.verdict is Verdict.REGRESSION:
        message = f"slower by {change} of the step (p {finding.p:.2g}, {finding.pairs} pairs)"
        ET.SubElement(case, "failure", message=message)
    elif finding.verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=words.not_decided(finding))
    ET.SubElement(case, "system-out").text = change

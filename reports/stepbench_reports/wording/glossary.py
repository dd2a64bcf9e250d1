"""The words of options, reports and files, each explained in one or two sentences.

`docs/concepts.md` and the glossary of a report's page are written from these.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """An entry of the glossary.

    Attributes:
        name: The word, or several that are explained together.
        text: The explanation, Markdown without links.
        more: The page of the documentation that explains more, such as `parity.md`; empty if none.
    """

    name: str
    text: str
    more: str = ""

    @property
    def anchor(self) -> str:
        """The id of the entry in a page, such as `term-steady-state`."""
        return "term-" + "-".join(re.findall(r"[a-z0-9]+", self.name.lower()))


GLOSSARY: dict[str, tuple[Term, ...]] = {
    "What is measured": (
        Term(
            "Workload",
            "A model, its data, its loss and its optimizer: a file in `models/`, a torchvision "
            "classifier, or your own.",
        ),
        Term(
            "Axis",
            "An option that takes several values, such as `--batch-size 4 32`.",
        ),
        Term(
            "Matrix",
            "All combinations of the axes' values. Combinations without a meaning are left out, "
            "and listed.",
        ),
        Term(
            "Case",
            "One combination: one value of every axis. Its id, such as `b32-w2-default`, names "
            "what is not the default.",
        ),
        Term(
            "Run",
            "A measured matrix: a directory in `results/` from which reports are made.",
        ),
    ),
    "A step and its time": (
        Term(
            "Step",
            "What happens between two updates of the parameters. Micro-batches of "
            "`--accumulate` belong to one step.",
        ),
        Term(
            "Phase",
            "A part of the step, in this order: `dataload` until the loader returns a batch, "
            "`transfer` until it is on the device, `forward` until the loss, `backward` until "
            "the gradients, `optimizer` until parameters are updated and gradients cleared.",
        ),
        Term(
            "Lap",
            "The time of one phase in one step. The laps of a step add up to the step.",
        ),
        Term(
            "Device's clock, host's clock",
            "A GPU runs behind the host, so a lap has two times: between two events in the "
            "device's stream, and in the host's Python code.",
            "measuring.md#clocks-on-a-gpu",
        ),
        Term(
            "samples/s",
            "The samples of a step (batch size times `--accumulate`) divided by the mean step "
            "of all bare turns: what training got.",
        ),
        Term(
            "Speed-up",
            "How many times as fast the case is as the uncompiled one, all else being the same: a "
            "paired ratio, of the turns that count. The quotient of the samples/s, which are "
            "rounded and of all turns, may differ.",
        ),
        Term(
            "Warm-up, steady state",
            "Steps before sampling. The steady state is reached once steps no longer become "
            "faster.",
        ),
        Term(
            "Cold, warm",
            "Compilation with an empty compile cache, and with a cache that already holds the "
            "code.",
        ),
    ),
    "How cases are compared": (
        Term(
            "Group",
            "The cases that are measured together: all of a run, or as many as fit into memory. "
            "Each has a live process, and only one of them works at a time.",
            "measuring.md#cases-take-turns",
        ),
        Term(
            "Turn",
            "Consecutive steps of one case, or of one side of a pair, while the others wait. "
            "*Lapped* turns read a clock at each phase's end; *bare* turns only at their own end, "
            "as a plain training loop would.",
        ),
        Term(
            "Round",
            "A turn of each kind for every case of a group, in random order and then in the "
            "reverse order, so that an even drift of the machine's speed meets all alike.",
        ),
        Term(
            "Generation",
            "The rounds of a group between two starts of its processes. What is settled when a "
            "process begins is noise, so a generation is one sample, whatever it holds.",
        ),
        Term(
            "Paired ratio",
            "The ratio of two cases within each generation, averaged over generations. The "
            "machine's slow changes are in both cases and cancel out.",
        ),
        Term(
            "Interval",
            "The range that holds the true value with 95 % confidence: Student's t over "
            "generations, whose figures are independent, while steps of one process are not. A "
            "figure has as many digits as it supports.",
            "measuring.md#intervals",
        ),
        Term(
            "Control",
            "A phase that the compared setting cannot touch, so that it should take as long in "
            "both cases. If it does not, the comparison is doubtful.",
            "measuring.md#controls",
        ),
        Term(
            "Run delay",
            "The time for which a turn's threads were runnable and had no core, by the system's "
            "count.",
        ),
    ),
    "Bottlenecks": (
        Term(
            "Bottleneck",
            "The longest part of a step: data, cores taken by loader workers, transfer, fixed "
            "cost, compute or optimizer. The report gives the step without it, and the speed-up: "
            "in each generation, from turns that lie close together.",
        ),
        Term(
            "Data",
            "Waiting for the loader; without workers, making the batch in the training process.",
        ),
        Term(
            "Cores taken by loader workers",
            "The time by which forward and backward take longer in training than with nothing to "
            "load: workers and training share the cores.",
        ),
        Term(
            "Fixed cost",
            "What forward and backward cost on next to no data: Python, dispatch, kernel launches, "
            "and the memory traffic of weights and their gradients. The report says how much of "
            "it that traffic is, at the bandwidth of a copy.",
        ),
        Term(
            "Hidden launches",
            "Launches that the host does while the device is busy with earlier ones. They do not "
            "add to the step, so they are no part of the fixed cost.",
        ),
        Term(
            "Compute",
            "The rest of forward and backward. For a compiled case, the fixed cost is included.",
        ),
        Term(
            "Peak throughput",
            "The floating-point operations and bytes per second that this machine reaches, "
            "measured once. The roofline's limits.",
        ),
        Term(
            "Roof",
            "The operations per second that the machine allows at a case's operations per byte: "
            "the lower one of its peak, and operations per byte times the bandwidth of a copy. "
            "A case whose tensors fit the cache can be above it.",
            "measuring.md#operations-and-the-roofline",
        ),
    ),
    "Is it still the same training?": (
        Term(
            "Parity",
            "A case computes the same tensors as eager execution, within tolerance: `pass`, "
            "`FAIL`, or `unknown` with the reason.",
            "parity.md",
        ),
        Term(
            "Reference",
            "Eager execution in double precision on the CPU, with which every case is compared.",
        ),
        Term(
            "Eager error",
            "What eager execution in the case's own precision is off by. Ten times that, and a "
            "floor, is the tolerance.",
        ),
        Term(
            "Mismatch",
            "A tensor that is out of tolerance.",
        ),
        Term(
            "Training parity",
            "With `--train-parity`: the case and its eager fp32 case train to the same test "
            "accuracy, over several seeds.",
        ),
    ),
    "Is it slower than before?": (
        Term(
            "Base, head",
            "What was, and what is to be merged: two revisions, or two environments.",
        ),
        Term(
            "Side",
            "Base or head.",
        ),
        Term(
            "Pair",
            "A base process and a head process that take turns, so that noise meets both. Its "
            "*change* is head minus base as a share of the step.",
        ),
        Term(
            "Screening, confirmation",
            "Screening finds what looks changed; confirmation decides on fresh pairs.",
            "regression.md#how-it-is-decided",
        ),
    ),
    "Noise": (
        Term(
            "Interference",
            "Other processes or the hypervisor took time from a turn or a pair, the device was "
            "throttled, or the turn was suspended. A case is marked if more than half of its turns "
            "were left out.",
            "measuring.md#turns-that-are-left-out",
        ),
        Term(
            "Left out, discarded",
            "A turn (left out) or a pair (discarded) that does not count because of "
            "interference, whatever its result.",
        ),
    ),
}
"""The entries by heading, in the order of a first reading."""

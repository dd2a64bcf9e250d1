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
            "Block",
            "Consecutive steps that are timed together. *Lapped* blocks read a clock at each "
            "phase's end; *bare* blocks only at their own, as a plain training loop would.",
        ),
        Term(
            "samples/s",
            "The samples of a step (batch size times `--accumulate`) divided by the mean step "
            "of bare blocks.",
        ),
        Term(
            "Speed-up",
            "The uncompiled case's step divided by the case's step, all other settings being "
            "the same.",
        ),
        Term(
            "Interval",
            "The range that holds the true value with 95 % confidence. A figure has as many "
            "digits as it supports.",
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
    "Bottlenecks": (
        Term(
            "Bottleneck",
            "The longest part of a step: data, transfer, launch overhead, compute or optimizer. "
            "The report gives the step time without it.",
        ),
        Term(
            "Data",
            "Waiting for the loader; without workers, making the batch in the training process.",
        ),
        Term(
            "Launch overhead",
            "What forward and backward cost on next to no data: Python, dispatch, kernel launches.",
        ),
        Term(
            "Hidden launches",
            "Launches that the host does while the device is busy with earlier ones. They do not "
            "add to the step, so they are no launch overhead.",
        ),
        Term(
            "Compute",
            "The rest of forward and backward. For a compiled case, launch overhead is included.",
        ),
        Term(
            "Peak throughput",
            "The floating-point operations and bytes per second that this machine reaches, "
            "measured once. The roofline's limits.",
        ),
        Term(
            "Fixed cost",
            "The time of a step that does not depend on the batch size.",
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
            "Turn",
            "The steps that one side of a pair runs before the other side continues.",
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
            "Other processes, the hypervisor or throttling slowed the machine while a block or "
            "a pair was measured.",
        ),
        Term(
            "Discarded",
            "A block or pair that does not count because of interference, whatever its result.",
        ),
    ),
}
"""The entries by heading, in the order of a first reading."""

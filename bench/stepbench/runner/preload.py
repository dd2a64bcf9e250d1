"""The modules that a server imports before it forks children."""

OPTIMIZERS = ("torch._dynamo",)
"""The modules that torch imports when the first optimizer is made, which takes a second."""
PRELOAD = (
    *OPTIMIZERS,
    "stepbench.measurement.player",
    "stepbench.parity.judgement",
    "stepbench.parity.training_parity",
    "stepbench.training.preflight",
    "stepbench.measurement.machine_peaks",
    "torchvision.datasets",
)
"""The modules that every child needs."""
PRELOAD_COMPILE = (
    "stepbench.measurement.cold_start",
    "torch._inductor.compile_fx",
    "torch._inductor.codegen.cpp",
)
"""The further modules of a child that compiles."""
PRELOAD_PROFILE = ("stepbench.profiling.job",)
"""The further modules of a child that profiles."""

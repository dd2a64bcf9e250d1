"""A training step, built from a workload and a case.

Loop, dataloader, device transfer, precision, compilation, optimizers.

Enters: what a step consists of. Runs in children, and imports torch.
"""

"""Builds and runs the training step of a workload and a case.

Loop, dataloader, device transfer, precision, compilation, optimizers.

Belongs here: what a step consists of. Runs in child processes, and imports torch.
"""

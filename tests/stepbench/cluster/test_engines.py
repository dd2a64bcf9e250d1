import subprocess
import sys

WITHOUT = """
import sys
sys.modules["ray"] = sys.modules["submitit"] = None
from stepbench.benchmarks import plugin
from stepbench.cluster import dispatch, engines, local, merge, ray, slurm
from stepbench.config.cluster import ClusterOptions
from stepbench.runner import cluster_job, cluster_run
from pathlib import Path
print(engines.make_engine(ClusterOptions("local"), "run", Path(), gpus=0).nodes()[0].name)
"""
"""Imports all that a run imports, where neither Ray nor submitit can be imported."""


def test_ray_and_submitit_are_not_needed_without_their_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "local-1\n"), done.stderr

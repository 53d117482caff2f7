"""Setup of a process before its first texture."""

import subprocess
import sys

FAULTS = """
import resource
import numpy as np
from texneg.synth.task.images import prepare_process

prepare_process()
np.ones(2**20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    np.ones(2**20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_memory_of_one_image_serves_the_next() -> None:
    """A fresh mapping of 1 MB would be 256 page faults each time."""
    environment = {"MALLOC_TRIM_THRESHOLD_": "65536"}  # Dask's default for workers
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 1000

"""Triton runs compiled where there is a CUDA device, else in its interpreter; no test is too slow to pass."""

import os

import torch
from hypothesis import HealthCheck, settings

if torch.cuda.is_available():
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # today's default, without the warning of 3.9
else:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

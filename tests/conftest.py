"""Triton kernels run compiled where there is a CUDA device, else in Triton's interpreter on the CPU."""

import os

import torch

if torch.cuda.is_available():
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # today's default, without the warning of 3.9
else:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported

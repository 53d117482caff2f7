"""The devices that run Triton kernels; torch operations do the work elsewhere, to the same bytes."""

import warnings
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def runs_triton(device: "torch.device") -> bool:
    """True if Triton is installed and runs a kernel on this device; tried once for each CUDA device."""
    return device.type == "cuda" and find_spec("triton") is not None and _launches(device)


@cache
def _launches(device: "torch.device") -> bool:
    """Try a launch: Triton needs a C compiler at run time and a recent GPU, and nothing else shows both."""
    try:
        from texneg.philox.cuda import probe

        probe(device)
    except Exception as error:  # compilers fail in many ways
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(
            f"Triton does not run on {device} ({type(error).__name__}: {reason}); torch operations take its"
            " place: the same bytes, slower. It needs a C compiler (CC or gcc) and compute capability >= 8",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True

"""The processes of a run: how many, which of them this is, and what they exchange."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from texneg.errors import RunFailed

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


def processes() -> int:
    """Return the number of training processes, W; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, 0 ... W - 1."""
    return dist.get_rank() if processes() > 1 else 0


def gather(x: Tensor) -> Tensor:
    """Gather rows (N, ...) of all processes in rank order: (W N, ...), without gradient."""
    if processes() == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(processes())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def gather_with_gradient(x: Tensor) -> Tensor:
    """Gather rows (N, ...) of all processes: (W N, ...); gradients of a row are summed over the processes."""
    if processes() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)
    return gathered


class _Gather(torch.autograd.Function):
    """`gather`, and what flows back into it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return gather(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(processes())[rank()]


def mean_over_processes(x: Tensor) -> Tensor:
    """Average a tensor over all processes, each of which calls this."""
    if processes() == 1:
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total / processes()


def any_process(wish: bool, device: torch.device) -> bool:
    """Return True if any process wishes it; each process calls this."""
    if processes() == 1:
        return wish
    wishes = torch.tensor(float(wish), device=device)
    dist.all_reduce(wishes)
    return bool(wishes.item() > 0)


def share(value: T) -> T:
    """Give every process the first one's value; each process calls this."""
    if processes() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def gather_dicts(mine: dict[K, V]) -> dict[K, V]:
    """Merge the dictionaries of all processes, in rank order; each process calls this."""
    if processes() == 1:
        return mine
    parts: list[dict[K, V]] = [{} for _ in range(processes())]
    dist.all_gather_object(parts, mine)
    return {key: value for part in parts for key, value in part.items()}


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` started; one process alone needs none.

    Raises:
        RunFailed: another process has ended, so that nothing can be exchanged with it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "by peer" in str(error):  # gloo has no type of its own
            raise RunFailed(
                "another process of this run ended, and says why; the last checkpoint is kept"
            ) from error
        raise
    finally:
        dist.destroy_process_group()

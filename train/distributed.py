"""The processes of a run: how many, which of them this is, and what they exchange."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from texneg.errors import InputError, RunFailed, describe_error

PORT, PORTS = 20000, 12000  # below those that systems give to others
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


def sum_with_gradient(x: Tensor) -> Tensor:
    """Sum a tensor over all processes; gradients are summed over them, too."""
    total: Tensor = _Sum.apply(x) if processes() > 1 else x
    return total


class _Sum(torch.autograd.Function):
    """A sum over the processes, and what flows back into it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


def mean_over_processes(x: Tensor) -> Tensor:
    """Average a tensor over all processes, each of which calls this."""
    if processes() == 1:
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total / processes()


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


class Vote:
    """Wishes of all processes to stop, collected without waiting: on the CPU, while the next step is made.

    Each process asks at the same steps, and they get the same answers.
    """

    def __init__(self) -> None:
        self._group: Any = dist.new_group(backend="gloo") if processes() > 1 else None
        self._asked: tuple[Tensor, Any] | None = None
        self._slow = False

    def ask(self, wish: bool, *, slow: bool = False) -> bool:
        """Return True if any process wished it when they were asked the last time, and ask anew.

        Args:
            wish: of this process.
            slow: steps take so long that an answer one step later would be late. After a question where one
                process says so, all wait for the answer to the next.
        """
        if self._group is None:
            return wish
        wished = self.read()
        wishes = torch.tensor([float(wish), float(slow)])
        self._asked = wishes, dist.all_reduce(wishes, group=self._group, async_op=True)
        return wished or (self._slow and self.read())

    def read(self) -> bool:
        """Wait for the answer that is still to come, if there is one."""
        if self._asked is None:
            return False
        wishes, work = self._asked
        self._asked = None
        work.wait()
        wished, slow = wishes.tolist()
        self._slow = slow > 0
        return bool(wished > 0)


class Launch(NamedTuple):
    """Place of this process among those of a run."""

    rank: int
    local: int
    """Its number on this machine."""
    world: int


def read_launch(variables: Mapping[str, str]) -> Launch | None:
    """Read what `torchrun`, or SLURM's `srun`, says of this process; None for one that is alone.

    Raises:
        InputError: a variable that is missing, or no number.
    """
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    # A script of sbatch has SLURM_NTASKS, too, but only the tasks of a step have this one.
    if "WORLD_SIZE" not in variables and "SLURM_STEP_NUM_TASKS" in variables:
        names = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS")
    elif "WORLD_SIZE" not in variables:
        return None
    given = {name: variables.get(name, "0" if name == "LOCAL_RANK" else "") for name in names}
    if given[names[2]] == "1":
        return None
    wrong = [f"{name}={value}" for name, value in given.items() if not value.isdecimal()]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: no number; start several processes by torchrun or srun")
    return Launch(*map(int, given.values()))


def choose_meeting(variables: Mapping[str, str]) -> dict[str, str]:
    """Choose where processes meet, if it is not given: the first node of a SLURM step, a port by its job."""
    nodes = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_NODELIST", "")
    first = re.match(r"(?:[^,\[]|\[[^]]*\])*", nodes)
    host = re.sub(r"\[(\w+)[^]]*\]", r"\1", first[0]) if first else ""  # node[007-009,12] is node007
    job, step = (
        int(number) if number.isdecimal() else 0
        for number in (variables.get("SLURM_JOB_ID", ""), variables.get("SLURM_STEP_ID", ""))
    )
    chosen = {"MASTER_ADDR": host or "localhost", "MASTER_PORT": str(PORT + (31 * job + step) % PORTS)}
    return {name: variables.get(name) or value for name, value in chosen.items()}


def choose_gpu(device: str, local: int) -> int:
    """Return the GPU of a process, by its number on this machine.

    Raises:
        InputError: one GPU for all, or fewer than processes.
    """
    seen = torch.cuda.device_count()
    if ":" in device:
        raise InputError(f"--device {device}: each process takes a GPU of its own; use --device cuda")
    if seen > 1 and local >= seen:
        raise InputError(
            f"process {local} of this machine has no GPU, {seen} are visible; start fewer processes"
        )
    return local if seen > 1 else 0  # srun may show each process its own GPU alone


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` or `srun` started; one process alone needs none.

    Raises:
        InputError: they cannot be found, or a device that does not fit them.
        RunFailed: another process has ended, so that nothing can be exchanged with it.
    """
    launch = read_launch(os.environ)
    if launch is None:
        yield
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(choose_gpu(device, launch.local))
    meeting = choose_meeting(os.environ)
    os.environ.update(meeting)
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", rank=launch.rank, world_size=launch.world)
    except (RuntimeError, ValueError) as error:
        place, reason = ":".join(meeting.values()), describe_error(error)
        raise InputError(
            f"{launch.world} processes do not meet at {place} ({reason}); see that all are started, and set"
            " MASTER_ADDR and MASTER_PORT"
        ) from error
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

"""The unit of work of an executor: one part of a shard, or the join of its parts."""

from dataclasses import dataclass
from typing import Any

from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan.plan import Shard
from texneg.synth.plan.settings import Settings

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a shard to make, or with `part` None the finished parts to join. About 1 kB when sent."""

    ledger: Ledger
    src: str
    kind: str
    settings: Settings
    shard: Shard
    part: int | None
    parts: int
    part_size: int
    isolated: bool = False
    """Every image in a process of its own: a worker that had this part died."""

    @property
    def name(self) -> str:
        """`train/000/000123.4` or, for the join, `train/000/000123.join`."""
        return f"{self.shard.id}.{'join' if self.part is None else self.part}"


def run_task(task: Task) -> Summary:
    """Do a task and say what came of it. Doing it twice, even at the same time, gives the same files.

    Returns:
        `committed`, images `n`, `statuses`, `seconds` by stage; or `storage`: why nothing can be
        written.

    Raises:
        SourceChanged, OSError: the input cannot be read.
        RuntimeError: a part to join is gone.
    """
    from texneg.synth.task.perform import perform  # loads decoders and numba, which a driver can do without

    return perform(task)

"""The unit of work of an executor: one part of a shard, or the join of its parts."""

import errno
from dataclasses import dataclass

from texneg.datasets.sources.sources import SourceKind
from texneg.datasets.storage.places import Place, free_bytes
from texneg.datasets.storage.url import Url
from texneg.synth.ledger.ledger import Ledger, Marker
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Settings, Shard

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a shard to make, or with `part` None the finished parts to join. About 1 kB when sent."""

    ledger: Ledger
    src: str
    kind: SourceKind
    settings: Settings
    shard: Shard
    part: int | None
    parts: int
    part_size: int
    isolated: bool = False
    """Make every image in a process of its own, since a worker that had this part died."""

    @classmethod
    def of(cls, run: Run, shard: Shard, part: int | None) -> "Task":
        """The task of a run that makes a part of a shard, or joins its parts."""
        kind, parts, size = run.plan.source.kind, run.plan.parts(shard), run.plan.part_size
        return cls(run.ledger, run.src, kind, run.settings, shard, part, parts, size)

    @property
    def name(self) -> str:
        """`train/000/000123.4` or, for the join, `train/000/000123.join`."""
        return f"{self.shard.id}.{'join' if self.part is None else self.part}"


@dataclass(frozen=True, slots=True)
class StorageFailure:
    """The reason why nothing more can be written, and the remedy."""

    message: str


TaskResult = Marker | StorageFailure
"""A finished part, a commit, or storage that ends the run."""


def storage_failure(error: OSError, dst: Place) -> StorageFailure | None:
    """The failure that an error means, if the disk is full or the place forbidden."""
    # A store's errors have no errno.
    if error.errno not in (*FULL, *FORBIDDEN) and not isinstance(error, PermissionError):
        return None
    what = f"{error.strerror or error} at {error.filename or dst}"
    if error.errno not in FULL or isinstance(dst, Url):
        return StorageFailure(f"{what}: allow {'writing' if error.errno == errno.EROFS else 'access'} there")
    return StorageFailure(f"{what} ({free_bytes(dst) / 1e6:.1f} MB free): make room")

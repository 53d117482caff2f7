"""Make the images of one part of a task: read its rows of the plan and its inputs."""

import errno
import os
from dataclasses import replace

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import Read, open_reader
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.retries import PermanentError, with_retries
from texneg.synth.ledger.audit import read_kept
from texneg.synth.ledger.manifest import Row, Status
from texneg.synth.plan.plan import out_name, read_items
from texneg.synth.task.corrupted import choose_work
from texneg.synth.task.images import PartResult, make_outputs
from texneg.synth.task.task import Task

LONGEST_NAME = 255  # bytes


class SourceChanged(PermanentError):
    """An input is gone or has another size than when the plan was made."""


def make_part(task: Task, start: int, stop: int, *, blame: tuple[Status, str] | None = None) -> PartResult:
    """Make images `start` to `stop` of the task's shard; those of rows that are kept stay as they are.

    Args:
        task: of the shard.
        start: first image.
        stop: after the last.
        blame: status and error of these images, which are then not even read.

    Raises:
        SourceChanged, OSError: an input cannot be read.
    """
    items = read_items(task.ledger.plan, task.shard, start, stop)
    kept = {row.index: row for row in read_kept(task.ledger, task.shard)}
    places = [start + i for i in range(len(items)) if start + i not in kept]
    items = [items[i - start] for i in places]
    if blame is not None:
        items = [replace(item, status=str(blame[0]), error=blame[1]) for item in items]
    outs = [out_name(item, task.shard, task.settings, task.kind) for item in items]
    if not task.shard.tar:
        items = [_check_name(item, out) for item, out in zip(items, outs, strict=True)]
    with open_reader(task.src, items) as read:
        result = make_outputs(
            items,
            outs,
            task.settings,
            lambda item: with_retries(lambda: _read(task, item, read)),
            work=choose_work(task.settings),
            shard=task.shard.number,
        )
    for i, row in zip(places, result.rows, strict=True):
        row.index = i
    result.rows = sorted([*result.rows, *(kept[i] for i in range(start, stop) if i in kept)], key=_index)
    return result


def _index(row: Row) -> int:
    return row.index


def _check_name(item: Item, out: str) -> Item:
    """The item, marked as unusable if no file system could hold its texture's name."""
    longest = max(len(os.fsencode(part)) for part in unescape(out).split("/"))
    if item.status or longest <= LONGEST_NAME:
        return item
    reason = f"a name of {longest} bytes for its texture, and file systems allow {LONGEST_NAME}"
    return replace(item, status=str(Status.UNSAFE_PATH), error=reason)


def _read(task: Task, item: Item, read: Read) -> bytes:
    path = f"{task.src}/{item.path}"
    try:
        data = read(item)
    except FileNotFoundError as error:
        raise SourceChanged(errno.ENOENT, "gone since the plan was made", path) from error
    if not item.member and len(data) != item.size:
        raise SourceChanged(errno.ESTALE, f"changed since the plan was made ({item.size} bytes then)", path)
    return data

"""What a worker does with a task: makes a part's textures, or joins the parts of a shard, and commits."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from time import perf_counter

from texneg import __version__
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import Read, reader
from texneg.datasets.sources.tars import TRAILER
from texneg.datasets.storage.atomic import atomic_file, write_bytes, write_many
from texneg.datasets.storage.json_files import append_json_line
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import size_of
from texneg.datasets.storage.retries import Permanent, patiently
from texneg.synth.ledger.ledger import Marker
from texneg.synth.ledger.manifest import Row, read_rows, to_parquet
from texneg.synth.plan.plan import load_plan, out_name, read_items
from texneg.synth.task.fragments import fragments
from texneg.synth.task.images import Part, process_part
from texneg.synth.task.storage import is_storage, storage_message
from texneg.synth.task.task import Summary, Task

LONGEST_NAME = 255  # bytes


class SourceChanged(Permanent):
    """An input is gone or has another size than when the plan was made."""


def perform(task: Task) -> Summary:
    """See `run_task`."""
    if (done := _done_before(task)) is not None:
        return done
    try:
        return _made(task)
    except Exception:
        if (done := _done_before(task)) is None:
            raise
        return done  # by somebody else meanwhile, who then took the parts or the temporary files away


def _made(task: Task) -> Summary:
    if task.part is None:
        return _guarded(task, lambda: _join(task))
    start = task.part * task.part_size
    stop = task.shard.n if task.parts == 1 else min(start + task.part_size, task.shard.n)
    if task.isolated:
        from texneg.synth.task.sandbox import make_isolated

        part = make_isolated(task, start, stop)
    else:
        part = make_images(task, start, stop)
    return _guarded(task, lambda: _store(task, part))


def make_images(task: Task, start: int, stop: int, *, blame: tuple[str, str] | None = None) -> Part:
    """Images `start` to `stop` of the task's shard.

    Args:
        task: of the shard.
        start: first image.
        stop: after the last.
        blame: status and error of these images, which are then not even read.
    """
    items = read_items(task.ledger.plan, task.shard, start, stop)
    if blame is not None:
        items = [replace(item, status=blame[0], error=blame[1]) for item in items]
    outs = [out_name(item, task.shard, task.settings, task.kind) for item in items]
    if not task.shard.tar:
        items = [_with_a_file(item, out) for item, out in zip(items, outs, strict=True)]
    with reader(task.src, items) as read:
        return process_part(
            items,
            outs,
            task.settings,
            lambda item: patiently(lambda: _read(task, item, read)),
            shard=task.shard.number,
            first=start,
        )


def _with_a_file(item: Item, out: str) -> Item:
    """The item; one whose texture no file system could hold is not even tried."""
    longest = max(len(os.fsencode(part)) for part in unescape(out).split("/"))
    if item.status or longest <= LONGEST_NAME:
        return item
    reason = f"a name of {longest} bytes for its texture, and file systems allow {LONGEST_NAME}"
    return replace(item, status="unsafe_path", error=reason)


def _done_before(task: Task) -> Summary | None:
    """The summary of an earlier attempt whose worker or driver died before it was heard."""
    alone = task.part is None or task.parts == 1
    if alone and (marker := task.ledger.marker(task.shard)) is not None:
        return {**marker, "committed": True}
    if task.part is not None and (marker := task.ledger.part_marker(task.shard, task.part)) is not None:
        return {**marker, "committed": False}
    return None


def _guarded(task: Task, write: Callable[[], Summary]) -> Summary:
    """Run the writing half of a task; a full or forbidden disk is an answer, not a failure of the task.

    Nobody can stop a task under way: one that its driver left behind may end after the run was overwritten.
    """
    try:
        if not patiently(task.ledger.is_in_force):
            raise RuntimeError(f"{task.ledger.root} no longer holds the run that this task is of")
        return patiently(write)
    except OSError as error:
        if not is_storage(error):
            raise
        return {"storage": storage_message(error, task.ledger.dst)}


def _read(task: Task, item: Item, read: Read) -> bytes:
    path = f"{task.src}/{item.path}"
    try:
        data = read(item)
    except FileNotFoundError as error:
        raise SourceChanged(errno.ENOENT, "gone since the plan was made", path) from error
    if not item.member and len(data) != item.size:
        raise SourceChanged(errno.ESTALE, f"changed since the plan was made ({item.size} bytes then)", path)
    return data


def _store(task: Task, part: Part) -> Summary:
    """Write a part's textures; commit at once where the shard has no other part."""
    ledger, number = task.ledger, task.part or 0
    pieces: Iterable[bytes] = ()
    with part.clock.time("write"):
        if task.shard.tar:
            pieces = fragments(part, task.settings, _classes(task))
        else:
            write_many(
                [(ledger.dst / unescape(made.out), made.texture) for made in part.made], tag=ledger.tag
            )
    _log(task, part)
    if task.parts == 1:
        return _commit(task, part.rows, pieces, part.clock.seconds)
    with part.clock.time("write"):
        if task.shard.tar:
            write_bytes(ledger.part(task.shard, number, ".tar"), b"".join(pieces), tag=ledger.tag)
        write_bytes(ledger.part(task.shard, number, ".parquet"), to_parquet(part.rows), tag=ledger.tag)
    summary = {"n": len(part.rows), "statuses": _statuses(part.rows), "seconds": part.clock.seconds}
    ledger.write_marker(ledger.part(task.shard, number, ".json"), summary)
    return {**summary, "committed": False}


def _classes(task: Task) -> list[str]:
    """Labels in the order of their numbers, where the tars are paired ones of class folders."""
    if task.settings.layout != "paired" or task.kind != "folder":
        return []
    return load_plan(task.ledger.plan).source["classes"]


def _join(task: Task) -> Summary:
    """Put the finished parts of a shard together in order and commit it."""
    ledger, shard = task.ledger, task.shard
    rows: list[Row] = []
    seconds: Counter[str] = Counter()
    tars = [ledger.part(shard, number, ".tar") for number in range(task.parts if shard.tar else 0)]
    base = 0
    for number in range(task.parts):
        marker = ledger.part_marker(shard, number)
        if marker is None:
            raise RuntimeError(f"part {number} of shard {shard.id} is gone from {ledger.root}")
        seconds.update(marker["seconds"])
        part = read_rows(ledger.part(shard, number, ".parquet"))
        if shard.tar:
            for row in part:
                row["out_offset"] = None if row["out_offset"] is None else row["out_offset"] + base
            base += size_of(tars[number])
        rows += part
    return _commit(task, rows, (path.read_bytes() for path in tars), dict(seconds))


def _commit(task: Task, rows: list[Row], pieces: Iterable[bytes], seconds: dict[str, float]) -> Summary:
    """Write the shard's tar, then its rows, then the marker that says it is done."""
    ledger, shard = task.ledger, task.shard
    begin = perf_counter()
    some = shard.tar and any(row["out"] for row in rows)
    files = {shard.tar: _write_tar(task, pieces)} if some else {}
    table = to_parquet(rows)
    write_bytes(ledger.done(shard, ".parquet"), table, tag=ledger.tag)
    marker = {
        "shard": shard.id,
        "n": len(rows),
        "statuses": _statuses(rows),
        "files": files,
        "rows_sha256": sha256(table).hexdigest(),
        "seconds": {**seconds, "write": seconds["write"] + perf_counter() - begin},
        "host": os.uname().nodename,
        "texneg": __version__,
    }
    ledger.write_marker(ledger.done(shard, ".json"), marker)
    ledger.remove_parts(shard, task.parts)
    return {**marker, "committed": True}


def _write_tar(task: Task, pieces: Iterable[bytes]) -> Marker:
    """The tar of a shard from its fragments; its size and checksum."""
    digest, size = sha256(), 0
    with atomic_file(task.ledger.dst / unescape(task.shard.tar), tag=task.ledger.tag) as file:
        for piece in chain(pieces, [TRAILER]):
            digest.update(piece)
            size += file.write(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _statuses(rows: list[Row]) -> dict[str, int]:
    return dict(sorted(Counter(row["status"] for row in rows).items()))


def _log(task: Task, part: Part) -> None:
    bad = [{k: row[k] for k in ("src", "status", "error")} for row in part.rows if row["status"] != "ok"]
    append_json_line(task.ledger.log, {"task": task.name, "seconds": part.clock.seconds, "bad": bad})

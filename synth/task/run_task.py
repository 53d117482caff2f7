"""Run one task: make a part's textures or join the parts of a shard, write, and commit."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import PurePosixPath
from time import perf_counter

from texneg import __version__
from texneg.datasets.sources.tars import TRAILER, data_offset, fragment
from texneg.datasets.storage.atomic import atomic_file, write_bytes, write_many
from texneg.datasets.storage.json_files import append_json_line
from texneg.datasets.storage.names import hide_dots, unescape
from texneg.datasets.storage.places import size_of
from texneg.datasets.storage.retries import with_retries
from texneg.synth.ledger.ledger import Commit, Marker, OutputFile
from texneg.synth.ledger.manifest import Row, Status, read_rows, to_parquet
from texneg.synth.plan.plan import load_plan
from texneg.synth.task.images import PartResult, Texture
from texneg.synth.task.part import make_part
from texneg.synth.task.sandbox import make_part_isolated
from texneg.synth.task.task import StorageFailure, Task, TaskResult, storage_failure


def run_task(task: Task) -> TaskResult:
    """Run a task. Running it twice, even at the same time, gives the same files.

    Raises:
        SourceChanged, OSError: the input cannot be read.
        RuntimeError: a part to join is gone, or the ledger holds another run.
    """
    if (done := _done_before(task)) is not None:
        return done
    try:
        if task.part is None:
            return _write(task, lambda: join_parts(task))
        start = task.part * task.part_size
        stop = task.shard.n if task.parts == 1 else min(start + task.part_size, task.shard.n)
        result = (make_part_isolated if task.isolated else make_part)(task, start, stop)
        return _write(task, lambda: store_part(task, result))
    except Exception:
        if (done := _done_before(task)) is None:
            raise
        return done  # by another worker meanwhile, which then removed the parts or the temporary files


def _done_before(task: Task) -> Marker | None:
    """The marker of an earlier attempt whose worker or driver died before its result arrived."""
    alone = task.part is None or task.parts == 1
    if alone and (commit := task.ledger.commit(task.shard)) is not None:
        return commit
    return None if task.part is None else task.ledger.part_marker(task.shard, task.part)


def _write(task: Task, write: Callable[[], Marker]) -> Marker | StorageFailure:
    """Run the writing half of a task. A full or forbidden disk is a result, not an error of the task.

    Nobody can stop a task under way: one that its driver left behind may end after the run was overwritten.
    """
    try:
        if not with_retries(task.ledger.is_in_force):
            raise RuntimeError(f"{task.ledger.root} no longer holds the run that this task is of")
        return with_retries(write)
    except OSError as error:
        if (failure := storage_failure(error, task.ledger.dst)) is None:
            raise
        return failure


def store_part(task: Task, result: PartResult) -> Marker:
    """Write a part's textures; commit at once where the shard has no other part."""
    ledger, number, rows, seconds = task.ledger, task.part or 0, result.rows, result.clock.seconds
    pieces: Iterable[bytes] = ()
    with result.clock.time("write"):
        if task.shard.tar:
            pieces = tar_members(task, result)
        else:
            write_many(
                [(ledger.dst / unescape(texture.out), texture.data) for texture in result.textures],
                tag=ledger.tag,
            )
    _log(task, result)
    if task.parts == 1:
        return commit(task, rows, pieces, seconds)
    with result.clock.time("write"):
        if task.shard.tar:
            write_bytes(ledger.part(task.shard, number, ".tar"), b"".join(pieces), tag=ledger.tag)
        write_bytes(ledger.part(task.shard, number, ".parquet"), to_parquet(rows), tag=ledger.tag)
    marker = Marker(len(rows), _count_statuses(rows), seconds)
    ledger.write_marker(ledger.part(task.shard, number, ".json"), marker)
    return marker


def join_parts(task: Task) -> Commit:
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
        seconds.update(marker.seconds)
        part = read_rows(ledger.part(shard, number, ".parquet"))
        if shard.tar:
            for row in part:
                row.out_offset = None if row.out_offset is None else row.out_offset + base
            base += size_of(tars[number])
        rows += part
    return commit(task, rows, (path.read_bytes() for path in tars), dict(seconds))


def commit(task: Task, rows: list[Row], pieces: Iterable[bytes], seconds: dict[str, float]) -> Commit:
    """Write the shard's tar, then its rows, then its marker."""
    ledger, shard = task.ledger, task.shard
    begin = perf_counter()
    holds_textures = shard.tar and any(row.out for row in rows)
    files = {shard.tar: _write_tar(task, pieces)} if holds_textures else {}
    table = to_parquet(rows)
    write_bytes(ledger.done(shard, ".parquet"), table, tag=ledger.tag)
    marker = Commit(
        n=len(rows),
        statuses=_count_statuses(rows),
        seconds={**seconds, "write": seconds["write"] + perf_counter() - begin},
        shard=shard.id,
        files=files,
        rows_sha256=sha256(table).hexdigest(),
        host=os.uname().nodename,
        texneg=__version__,
    )
    ledger.write_marker(ledger.done(shard, ".json"), marker)
    ledger.remove_parts(shard, task.parts)
    if not shard.tar:
        ledger.kept(shard).unlink(missing_ok=True)
    return marker


def _write_tar(task: Task, pieces: Iterable[bytes]) -> OutputFile:
    """Write the tar of a shard from its members; its size and checksum."""
    digest, size = sha256(), 0
    with atomic_file(task.ledger.dst / unescape(task.shard.tar), tag=task.ledger.tag) as file:
        for piece in chain(pieces, [TRAILER]):
            digest.update(piece)
            size += file.write(piece)
    return OutputFile(size, digest.hexdigest())


def tar_members(task: Task, result: PartResult) -> Iterator[bytes]:
    """A part's textures as tar members in order; the row of each gets its offset when it is taken.

    In the paired layout an image and its class come before its texture, under the same key.
    """
    paired = task.settings.layout == "paired"
    classes = load_plan(task.ledger.plan).source.classes if paired and task.kind == "folder" else []
    end = 0
    for row, texture in zip([row for row in result.rows if row.ok], result.textures, strict=True):
        name = texture.out.partition("::")[2]
        if paired:
            image = _image_and_class(row, texture, classes)
            yield image
            end += len(image)
        row.out_offset = end + data_offset(name)
        member = fragment(name, texture.data)
        yield member
        end += len(member)


def _image_and_class(row: Row, texture: Texture, classes: Sequence[str]) -> bytes:
    key = hide_dots(row.key)
    extension = PurePosixPath(row.src).suffix.lower()
    image = fragment(f"{key}{extension}", texture.image)
    text = _class_text(row, classes)
    return image + fragment(f"{key}.cls", text) if text else image


def _class_text(row: Row, classes: Sequence[str]) -> bytes:
    """The contents of `.cls`: the number of a class folder, or the text in the input; empty for no class."""
    if row.label is None:
        return b""
    if classes:
        return str(classes.index(row.label)).encode()
    folder, slash, _ = row.key.partition("/")
    return b"" if slash and row.label == folder else os.fsencode(unescape(row.label))


def _count_statuses(rows: list[Row]) -> dict[Status, int]:
    return dict(sorted(Counter(row.status for row in rows).items()))


def _log(task: Task, result: PartResult) -> None:
    bad = [{"src": row.src, "status": row.status, "error": row.error} for row in result.rows if not row.ok]
    append_json_line(task.ledger.log, {"task": task.name, "seconds": result.clock.seconds, "bad": bad})

"""Audit of a run's outputs: what is missing, changed, or not of the run."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from texneg.datasets.decode import DecodeError, decode
from texneg.datasets.encode import STORED
from texneg.datasets.storage.atomic import TEMPORARY_SUFFIX
from texneg.datasets.storage.names import escape, show, unescape
from texneg.datasets.storage.places import (
    list_files,
    map_in_order,
    open_read,
    read_all,
    read_or_none,
    read_range,
)
from texneg.datasets.storage.retries import with_retries
from texneg.datasets.storage.url import Url
from texneg.datasets.stored import decode_stored
from texneg.synth.ledger.ledger import Commit, Ledger, OutputFile
from texneg.synth.ledger.manifest import Row, read_rows, to_parquet, to_rows, to_table
from texneg.synth.plan.plan import Plan, Shard

Problems = Iterator[tuple[str, str]]
"""Pairs of an output's name and what is wrong with it."""


def committed_rows(ledger: Ledger, shard: Shard, commit: Commit) -> list[Row] | None:
    """The rows of a committed shard; None where they are not those of its commit."""
    data = read_or_none(ledger.done(shard, ".parquet"))
    if data is None or hashlib.sha256(data).hexdigest() != commit.rows_sha256:
        return None
    return to_rows(to_table(data))


def known_rows(ledger: Ledger, plan: Plan, shard: Shard, commit: Commit | None) -> dict[int, Row]:
    """The sound rows of a shard by position: of its commit, or of what is made of it so far."""
    if commit is not None:
        return {row.index: row for row in committed_rows(ledger, shard, commit) or ()}
    rows = read_kept(ledger, shard)
    for part in range(plan.parts(shard)):
        if ledger.part_marker(shard, part) is not None:
            rows += read_rows(ledger.part(shard, part, ".parquet"))
    return {row.index: row for row in rows}


def read_kept(ledger: Ledger, shard: Shard) -> list[Row]:
    """The rows that stay of a shard which was reopened; textures in tars are made again together."""
    data = None if shard.tar else read_or_none(ledger.kept(shard))
    return [] if data is None else to_rows(to_table(data))


def reopen_damaged(ledger: Ledger, plan: Plan) -> int:
    """Reopen every shard with missing or changed rows or outputs; their number.

    Of class folders only the images with such outputs are made again, also in shards that are not finished.
    """
    damaged = 0
    for shard, commit in zip(plan.shards, ledger.commits(plan.shards), strict=True):
        if commit is None and shard.tar:
            continue
        rows = known_rows(ledger, plan, shard, commit)
        problems = shard_problems(ledger, shard, commit, list(rows.values()), quick=False)
        if problems or (commit is not None and not rows):
            sound = [] if shard.tar else [row for row in rows.values() if row.out not in problems]
            ledger.reopen(shard, plan.parts(shard), to_parquet(sound) if sound else b"")
            damaged += 1
    ledger.manifest.unlink(missing_ok=True)  # it is joined again from what is good
    return damaged


def shard_problems(
    ledger: Ledger, shard: Shard, commit: Commit | None, rows: list[Row], *, quick: bool
) -> dict[str, str]:
    """Problems of a shard's outputs, by name."""
    files = commit.files if commit else {}
    changed = [name for name, file in files.items() if not quick and _differs(ledger, name, file)]
    if shard.tar and not changed:
        return {}
    made = {row.out: row for row in rows if row.out}
    if quick:
        return dict(_size_problems(ledger, made))
    return {name: f"changed: {show(name)}" for name in changed} | dict(_content_problems(ledger, made))


def manifest_problems(ledger: Ledger, shards: Sequence[Shard]) -> Iterator[str]:
    """Report a manifest that is not the rows of all shards in order; the shards were found to be good."""
    tables = map(to_table, filter(None, read_all(ledger.done(shard, ".parquet") for shard in shards)))
    try:
        with open_read(ledger.manifest) as stream, pq.ParquetFile(stream) as file:
            groups = map(file.read_row_group, range(file.num_row_groups))
            same = all(
                group.equals(table.select(group.column_names))
                for group, table in zip(groups, tables, strict=True)
            )
    except (pa.ArrowException, OSError, ValueError):
        same = False
    if not same:
        yield f"changed: {ledger.manifest}"


def _differs(ledger: Ledger, name: str, file: OutputFile) -> bool:
    with open_read(ledger.dst / unescape(name)) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256  # type: ignore[arg-type]


def _size_problems(ledger: Ledger, made: dict[str, Row]) -> Problems:
    """Textures in folders that are gone or have another size, found by listing each folder once."""
    folders = {out.rpartition("/")[0] for out in made}
    sizes = {name: size for folder in folders for name, size in ledger.sizes(folder)}
    for out, row in made.items():
        size = sizes.get(ledger.listed_name(out))
        if size is None:
            yield out, f"missing: {show(out)}"
        elif size != row.out_bytes:
            yield out, _other_size(row)


def _content_problems(ledger: Ledger, made: dict[str, Row]) -> Problems:
    for (out, row), data in zip(made.items(), _outputs(ledger, made), strict=True):
        if isinstance(data, FileNotFoundError | NotADirectoryError):
            yield out, f"missing: {show(out)}"
        elif isinstance(data, OSError):
            yield out, f"unreadable: {show(out)} ({data})"
        elif len(data) != row.out_bytes:
            yield out, _other_size(row)
        elif hashlib.sha256(data).digest() != row.out_sha256:
            yield out, f"changed: {show(out)}"


def _other_size(row: Row) -> str:
    return f"changed: {show(row.out or '')} has another size than the {row.out_bytes} bytes written"


def _outputs(ledger: Ledger, made: dict[str, Row]) -> Iterator[bytes | OSError]:
    """Bytes of each texture, or the error that reading it gave; a store gets several requests at a time."""
    if isinstance(ledger.dst, Url):
        return map_in_order(lambda one: _output(ledger, *one), list(made.items()))
    return (_output(ledger, out, row) for out, row in made.items())


def _output(ledger: Ledger, out: str, row: Row) -> bytes | OSError:
    path = ledger.dst / unescape(out.partition("::")[0])
    try:
        if row.out_offset is None:
            return with_retries(path.read_bytes)
        offset, size = row.out_offset, row.out_bytes or 0
        return with_retries(lambda: read_range(path, offset, size))
    except OSError as error:
        return error


def pixel_problems(ledger: Ledger, rows: list[Row]) -> Iterator[str]:
    """Textures that cannot be decoded, or whose pixels are not those that were made."""
    made = {row.out: row for row in rows if row.out}
    for (out, row), data in zip(made.items(), _outputs(ledger, made), strict=True):
        if isinstance(data, OSError):
            continue
        try:
            stored = PurePosixPath(out).suffix.lstrip(".") in STORED
            pixels = (decode_stored if stored else decode)(data).pixels
        except DecodeError as error:
            yield f"unreadable: {show(out)} ({error})"
            continue
        if hashlib.blake2b(pixels.data, digest_size=16).digest() != row.pixels_blake2b:
            yield f"changed pixels: {show(out)}"


def unlisted(ledger: Ledger, outs: set[str]) -> Iterator[str]:
    """Files in DST other than these outputs, which are paths below DST, escaped."""
    known = {ledger.listed_name(out) for out in outs}
    for name in sorted(map(escape, list_files(ledger.dst))):
        if name not in known:
            kind = "left-over temporary file" if name.endswith(TEMPORARY_SUFFIX) else "not of this run"
            yield f"unlisted: {show(name)} ({kind})"

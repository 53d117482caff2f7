"""`texneg verify`: every texture of a finished run is there, unchanged, and nothing else."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from texneg.datasets.atomic import TEMPORARY_SUFFIX
from texneg.datasets.decode import DecodeError, decode
from texneg.datasets.item import Item
from texneg.datasets.names import escape, unescape
from texneg.datasets.reader import reader
from texneg.datasets.sources import root_of
from texneg.datasets.store import files_below, in_order, open_read, place, read_span
from texneg.datasets.url import Url
from texneg.errors import InputError, RunFailed
from texneg.options import Positional
from texneg.synth.config import ledger_path
from texneg.synth.job import Clock, make_texture
from texneg.synth.ledger import Ledger, Marker
from texneg.synth.manifest import Row, iterate_rows, read_rows
from texneg.synth.plan import Plan, Shard, load_plan, read_items
from texneg.synth.progress import counted
from texneg.synth.record import load_record
from texneg.synth.settings import Settings
from texneg.synth.setup import prepare_process

PROBLEMS_SHOWN = 10


@dataclass(frozen=True)
class VerifyConfig:
    """Check every texture of a finished run against its manifest."""

    dst: Positional[str]
    """Folder that texneg synth wrote."""
    src: Positional[str | None] = None
    """Also check that the inputs are still those the textures were made from."""
    ledger: str | None = None
    """The run's ledger, if it is not DST.texneg."""
    quick: bool = False
    """Compare sizes only, no checksums."""
    pixels: bool = False
    """Decode every texture and check its pixels, too."""
    resynth: int = 0
    """Make this many textures again, spread evenly, and compare them to the byte. Needs SRC."""


def verify(config: VerifyConfig) -> int:
    """Check a run's outputs.

    Returns:
        0 when all is as the manifest says.

    Raises:
        InputError: no finished run there.
        RunFailed: files are missing, changed or unlisted; each is named on standard error.
    """
    if config.resynth < 0:
        raise InputError(f"--resynth {config.resynth}: allowed is 0 or more")
    if config.resynth and config.src is None:
        raise InputError("--resynth needs the images: texneg verify DST SRC --resynth N")
    if config.src is not None and not place(config.src).exists():
        raise InputError(f"{config.src} does not exist; give the images that the textures were made from")
    ledger = Ledger(ledger_path(config.dst, config.ledger), place(config.dst))
    record = load_record(ledger)
    ledger = replace(ledger, fingerprint=record["fingerprint"])
    if not ledger.manifest.exists():
        raise InputError(f"the run in {config.dst} is not finished; resume: {record['command']}")
    plan, settings = load_plan(ledger.plan), Settings(**record["settings"])
    problems = list(_all_problems(config, ledger, plan, settings))
    for problem in problems[:PROBLEMS_SHOWN]:
        print(problem, file=sys.stderr)
    if problems:
        more = f", {PROBLEMS_SHOWN} shown" if len(problems) > PROBLEMS_SHOWN else ""
        raise RunFailed(
            f"{counted(len(problems), 'problem')} in {config.dst}{more};"
            f" missing and changed textures are made again by: {record['command']} --recheck"
        )
    ok = sum(row["status"] == "ok" for row in iterate_rows(ledger.manifest))
    checks = {
        "sizes": True,
        "checksums": not config.quick,
        "pixels": config.pixels,
        "inputs": config.src is not None,
        f"{config.resynth} made again": config.resynth > 0,
    }
    done = ", ".join(name for name, on in checks.items() if on)
    print(f"{ok} textures in {config.dst} are as made ({done}); nothing unlisted")
    return 0


def _all_problems(config: VerifyConfig, ledger: Ledger, plan: Plan, settings: Settings) -> Iterator[str]:
    listed: set[str] = set()
    for shard, marker in zip(plan.shards, ledger.markers(plan.shards), strict=True):
        if marker is None:
            yield f"missing: the outputs of shard {shard.id}"
            listed.add(shard.tar)
            continue
        rows = read_rows(ledger.done(shard, ".parquet"))
        listed.update([shard.tar] if shard.tar else (row["out"] for row in rows if row["out"]))
        yield from shard_problems(ledger, shard, marker, quick=config.quick)
        if config.pixels:
            yield from _pixel_problems(ledger, rows)
        if config.src is not None:
            yield from _source_problems(config.src, ledger, shard, rows)
    yield from _unlisted(ledger, listed)
    if config.src is not None and config.resynth:
        yield from _resynth_problems(config, ledger, plan, settings)


def shard_problems(ledger: Ledger, shard: Shard, marker: Marker, *, quick: bool) -> list[str]:
    """What is missing or changed among the outputs of a committed shard."""
    changed = [name for name, file in marker["files"].items() if not quick and _differs(ledger, name, file)]
    if shard.tar and not changed:
        return []
    rows = [row for row in read_rows(ledger.done(shard, ".parquet")) if row["out"]]
    if quick:
        return list(_size_problems(ledger, rows))
    return [f"changed: {name}" for name in changed] + list(_content_problems(ledger, rows))


def _differs(ledger: Ledger, name: str, file: Marker) -> bool:
    with open_read(ledger.dst / unescape(name)) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() != file["sha256"]  # type: ignore[arg-type]


def _size_problems(ledger: Ledger, rows: list[Row]) -> Iterator[str]:
    """Textures in folders that are gone or have another size, by one listing a folder."""
    folders = {row["out"].rpartition("/")[0] for row in rows}
    sizes = {name: size for folder in folders for name, size in ledger.sizes(folder)}
    for row in rows:
        if row["out"] not in sizes:
            yield f"missing: {row['out']}"
        elif sizes[row["out"]] != row["out_bytes"]:
            yield _other_size(row)


def _content_problems(ledger: Ledger, rows: list[Row]) -> Iterator[str]:
    for row, data in zip(rows, _outputs(ledger, rows), strict=True):
        if data is None:
            yield f"missing: {row['out']}"
        elif len(data) != row["out_bytes"]:
            yield _other_size(row)
        elif hashlib.sha256(data).digest() != row["out_sha256"]:
            yield f"changed: {row['out']}"


def _other_size(row: Row) -> str:
    return f"changed: {row['out']} has another size than the {row['out_bytes']} bytes written"


def _outputs(ledger: Ledger, rows: list[Row]) -> Iterator[bytes | None]:
    """Bytes of each texture; several requests at a time to a store."""
    if isinstance(ledger.dst, Url):
        return in_order(lambda row: _output(ledger, row), rows)
    return (_output(ledger, row) for row in rows)


def _output(ledger: Ledger, row: Row) -> bytes | None:
    """Bytes of a texture, or None where its file is gone."""
    path = ledger.dst / unescape(row["out"].partition("::")[0])
    try:
        if row["out_offset"] is None:
            return path.read_bytes()
        return read_span(path, row["out_offset"], row["out_bytes"])
    except OSError:
        return None


def _pixel_problems(ledger: Ledger, rows: list[Row]) -> Iterator[str]:
    made = [row for row in rows if row["out"]]
    for row, data in zip(made, _outputs(ledger, made), strict=True):
        if data is None:
            continue
        try:
            pixels = decode(data).pixels
        except DecodeError as error:
            yield f"unreadable: {row['out']} ({error})"
            continue
        if hashlib.blake2b(pixels.tobytes(), digest_size=16).digest() != row["pixels_blake2b"]:
            yield f"changed pixels: {row['out']}"


def _source_problems(src: str, ledger: Ledger, shard: Shard, rows: list[Row]) -> Iterator[str]:
    items = [i for i, row in zip(read_items(ledger.plan, shard), rows, strict=True) if row["src_sha256"]]
    digests = [row["src_sha256"] for row in rows if row["src_sha256"]]
    for item, data, digest in zip(items, _inputs(src, items), digests, strict=True):
        if data is None:
            yield f"input gone: {item.src}"
        elif hashlib.sha256(data).digest() != digest:
            yield f"input changed: {item.src}"


def _inputs(src: str, items: list[Item]) -> Iterator[bytes | None]:
    """Bytes of each image, None where it is gone."""
    with reader(root_of(src), items) as read:
        for item in items:
            try:
                yield read(item)
            except OSError:
                yield None


def _resynth_problems(config: VerifyConfig, ledger: Ledger, plan: Plan, settings: Settings) -> Iterator[str]:
    """Make an even sample of the textures again; what is missing or changed is named elsewhere."""
    prepare_process()
    stride = max(1, plan.images // config.resynth)
    number = 0
    for shard in plan.shards:
        wanted = [i for i in range(shard.n) if (number + i) % stride == 0]
        number += shard.n
        if not wanted or ledger.marker(shard) is None:
            continue
        rows = read_rows(ledger.done(shard, ".parquet"))
        wanted = [i for i in wanted if rows[i]["status"] == "ok"]
        items = read_items(ledger.plan, shard)
        for i, data in zip(wanted, _inputs(str(config.src), [items[i] for i in wanted]), strict=True):
            if data is None or hashlib.sha256(data).digest() != rows[i]["src_sha256"]:
                continue
            with suppress(DecodeError):
                remade = make_texture(data, {"image_seed": rows[i]["image_seed"]}, settings, Clock())
                if hashlib.sha256(remade).digest() != rows[i]["out_sha256"]:
                    yield f"made again with other bytes: {rows[i]['out']}"


def _unlisted(ledger: Ledger, listed: set[str]) -> Iterator[str]:
    for name in sorted(map(escape, files_below(ledger.dst))):
        if name not in listed:
            kind = "left-over temporary file" if name.endswith(TEMPORARY_SUFFIX) else "not of this run"
            yield f"unlisted: {name} ({kind})"

"""`texneg verify`: every texture of a finished run is there, unchanged, and nothing else."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from texneg.cli.console import counted
from texneg.cli.fields import Positional
from texneg.datasets.decode import DecodeError
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import reader
from texneg.datasets.sources.sources import root_of
from texneg.datasets.storage.places import place
from texneg.datasets.storage.retries import patiently
from texneg.errors import InputError, RunFailed
from texneg.synth.config import ledger_path
from texneg.synth.ledger.audit import (
    committed_rows,
    manifest_problems,
    pixel_problems,
    shard_problems,
    unlisted,
)
from texneg.synth.ledger.ledger import Ledger, Marker
from texneg.synth.ledger.manifest import Row
from texneg.synth.ledger.record import opened
from texneg.synth.plan.plan import Plan, is_drawn, load_plan, output_names, read_items
from texneg.synth.plan.settings import Settings
from texneg.synth.task.clock import Clock
from texneg.synth.task.images import make_texture
from texneg.synth.task.setup import prepare_process
from texneg.textures.presets import PRESETS

PROBLEMS_SHOWN = 10
REMADE = "made again with other bytes"
Markers = list[Marker | None]
"""Of every shard of the plan; None for one that is not committed or whose tar is gone."""


@dataclass(frozen=True)
class VerifyConfig:
    """Check every texture of a finished run against its manifest."""

    dst: Positional[str]
    """Folder that texneg synth wrote."""
    src: Positional[str | None] = None
    """Optional: the images, to check that they are still those that the textures were made from."""
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
    ledger, record = opened(Ledger(ledger_path(config.dst, config.ledger), place(config.dst)))
    if not ledger.manifest.exists():
        raise InputError(f"the run in {config.dst} is not finished; resume: {record['command']}")
    plan, settings = load_plan(ledger.plan), Settings(**record["settings"])
    if config.resynth and settings.method_version != PRESETS[settings.method].version:
        raise InputError(
            f"--resynth: {config.dst} was made by version {settings.method_version} of method"
            f" {settings.method}, this is version {PRESETS[settings.method].version};"
            f" install texneg {record['versions']['texneg']}, or leave --resynth out"
        )
    markers = ledger.markers(plan.shards)
    problems = list(_all_problems(config, ledger, plan, settings, markers))
    for problem in problems[:PROBLEMS_SHOWN]:
        print(problem, file=sys.stderr)
    if problems:
        more = f", {PROBLEMS_SHOWN} shown" if len(problems) > PROBLEMS_SHOWN else ""
        remedy = _remedy(problems, ledger, record["command"])
        raise RunFailed(f"{counted(len(problems), 'problem')} in {config.dst}{more}; {remedy}")
    ok = sum(marker["statuses"].get("ok", 0) for marker in markers if marker)
    checks = {
        "sizes": True,
        "checksums": not config.quick,
        "pixels": config.pixels,
        "inputs": config.src is not None,
        f"{min(config.resynth, ok)} made again": config.resynth > 0,
    }
    done = ", ".join(name for name, on in checks.items() if on)
    print(f"{counted(ok, 'texture')} in {config.dst} as made ({done}); nothing unlisted")
    return 0


def _remedy(problems: list[str], ledger: Ledger, command: str) -> str:
    """What to do about each kind of problem."""
    inputs = "bring inputs back as they were, or remake with --overwrite"
    damage = f"missing and changed textures are made again by: {command} --recheck"
    remedies = {
        "input gone": inputs,
        "input changed": inputs,
        "input unreadable": inputs,
        "unlisted": "take unlisted files away",
        REMADE: f"for the same bytes install the versions that {ledger.config} names",
    }
    found = {remedies.get(problem.partition(":")[0], damage) for problem in problems}
    return "; ".join(remedy for remedy in dict.fromkeys([*remedies.values(), damage]) if remedy in found)


def _all_problems(
    config: VerifyConfig, ledger: Ledger, plan: Plan, settings: Settings, markers: Markers
) -> Iterator[str]:
    outs: set[str] = set()
    whole = True
    for shard, marker in zip(plan.shards, markers, strict=True):
        rows = committed_rows(ledger, shard, marker) if marker else None
        if marker is None or rows is None:
            whole = False
            yield f"changed: rows of shard {shard.id}" if marker else f"missing: outputs of shard {shard.id}"
            outs.update(output_names(plan, shard, settings))
            continue
        outs.update([shard.tar] if shard.tar else (row["out"] for row in rows if row["out"]))
        found = shard_problems(ledger, shard, marker, rows, quick=config.quick)
        yield from found.values()
        if config.pixels:
            yield from pixel_problems(ledger, [row for row in rows if row["out"] not in found])
        if config.src is not None:
            yield from _source_problems(config.src, read_items(plan.folder, shard), rows)
    if whole and not config.quick:
        yield from manifest_problems(ledger, plan.shards)
    yield from unlisted(ledger, outs)
    if config.src is not None and config.resynth:
        yield from _resynth_problems(config, ledger, plan, settings, markers)


def _source_problems(src: str, items: list[Item], rows: list[Row]) -> Iterator[str]:
    items = [item for item, row in zip(items, rows, strict=True) if row["src_sha256"]]
    digests = [row["src_sha256"] for row in rows if row["src_sha256"]]
    for item, data, digest in zip(items, _inputs(src, items), digests, strict=True):
        if isinstance(data, FileNotFoundError):
            yield f"input gone: {item.src}"
        elif isinstance(data, OSError):
            yield f"input unreadable: {item.src} ({data})"
        elif hashlib.sha256(data).digest() != digest:
            yield f"input changed: {item.src}"


def _inputs(src: str, items: list[Item]) -> Iterator[bytes | OSError]:
    """Bytes of each image, or why there are none."""
    with reader(root_of(src), items) as read:
        for item in items:
            try:
                yield patiently(partial(read, item))
            except OSError as error:
                yield error


def _resynth_problems(
    config: VerifyConfig, ledger: Ledger, plan: Plan, settings: Settings, markers: Markers
) -> Iterator[str]:
    """Make an even sample of the textures again; what is missing or changed is named elsewhere."""
    prepare_process()
    good = [marker["statuses"].get("ok", 0) if marker else 0 for marker in markers]
    before, total = 0, sum(good)
    for shard, marker, ok in zip(plan.shards, markers, good, strict=True):
        drawn = [i for i in range(ok) if is_drawn(before + i, config.resynth, total)]
        before += ok
        rows = committed_rows(ledger, shard, marker) if marker and drawn else None
        if rows is None:
            continue
        pairs = zip(read_items(ledger.plan, shard), rows, strict=True)
        made = [(item, row) for item, row in pairs if row["status"] == "ok"]
        wanted = [made[i] for i in drawn]
        inputs = _inputs(str(config.src), [item for item, _ in wanted])
        for (_, row), data in zip(wanted, inputs, strict=True):
            if isinstance(data, OSError) or hashlib.sha256(data).digest() != row["src_sha256"]:
                continue
            with suppress(DecodeError):
                remade = make_texture(data, {"image_seed": row["image_seed"]}, settings, Clock())
                if hashlib.sha256(remade).digest() != row["out_sha256"]:
                    yield f"{REMADE}: {row['out']}"

"""`texneg verify`: check that a finished run's outputs are complete, unchanged, and the only files."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from texneg.cli.console import plural
from texneg.cli.fields import Positional
from texneg.datasets.decode import DecodeError
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import open_reader
from texneg.datasets.sources.sources import root_of
from texneg.datasets.storage.names import show
from texneg.datasets.storage.places import Place, parse_place
from texneg.datasets.storage.retries import with_retries
from texneg.errors import InputError, RunFailed
from texneg.synth.config import ledger_path
from texneg.synth.ledger.audit import (
    committed_rows,
    manifest_problems,
    pixel_problems,
    shard_problems,
    unlisted,
)
from texneg.synth.ledger.ledger import Commit, Ledger
from texneg.synth.ledger.manifest import Row, Status
from texneg.synth.ledger.record import Run, open_record
from texneg.synth.plan.plan import is_drawn, load_plan, output_names, read_items
from texneg.synth.task.corrupted import choose_work
from texneg.synth.task.images import make_one, prepare_process

PROBLEMS_SHOWN = 10
REMADE = "made again with other bytes"
Commits = list[Commit | None]
"""Of every shard of the plan; None for a shard that is not committed or whose tar is gone."""


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
        0 when everything is as in the manifest.

    Raises:
        InputError: no finished run there.
        RunFailed: files are missing, changed or unlisted; each is named on standard error.
    """
    if config.resynth < 0:
        raise InputError(f"--resynth {config.resynth}: allowed is 0 or more")
    if config.resynth and config.src is None:
        raise InputError("--resynth needs the images: texneg verify DST SRC --resynth N")
    src = None if config.src is None else parse_place(config.src)
    if src is not None and not src.exists():
        raise InputError(f"{config.src} does not exist; give the images that the textures were made from")
    ledger, record = open_record(Ledger(ledger_path(config.dst, config.ledger), parse_place(config.dst)))
    if not ledger.manifest.exists():
        raise InputError(f"the run in {config.dst} is not finished; resume: {record.command}")
    plan, settings = load_plan(ledger.plan), record.settings
    if config.resynth and settings.method_version != (version := choose_work(settings).version(settings)):
        raise InputError(
            f"--resynth: {config.dst} was made by version {settings.method_version} of method"
            f" {settings.method}, this is version {version};"
            f" install texneg {record.versions['texneg']}, or leave --resynth out"
        )
    run = Run(ledger, plan, settings, record.src, record.versions)
    commits = ledger.commits(plan.shards)
    problems = list(_output_problems(run, commits, src, quick=config.quick, pixels=config.pixels))
    if src is not None and config.resynth:
        problems += _resynth_problems(run, commits, src, config.resynth)
    for problem in problems[:PROBLEMS_SHOWN]:
        print(problem, file=sys.stderr)
    if problems:
        more = f", {PROBLEMS_SHOWN} shown" if len(problems) > PROBLEMS_SHOWN else ""
        remedy = _remedy(problems, ledger, record.command)
        raise RunFailed(f"{plural(len(problems), 'problem')} in {config.dst}{more}; {remedy}")
    ok = sum(commit.statuses.get(Status.OK, 0) for commit in commits if commit)
    checks = {
        "sizes": True,
        "checksums": not config.quick,
        "pixels": config.pixels,
        "inputs": config.src is not None,
        f"{min(config.resynth, ok)} made again": config.resynth > 0,
    }
    done = ", ".join(name for name, on in checks.items() if on)
    print(f"{plural(ok, settings.noun)} in {config.dst} as made ({done}); nothing unlisted")
    return 0


def _remedy(problems: list[str], ledger: Ledger, command: str) -> str:
    """The remedy for each kind of problem, in one line."""
    changed = f"textures of changed inputs are made again by: {command} --recheck-sources"
    gone = "bring inputs back as they were, or remake with --overwrite"
    damage = f"missing and changed textures are made again by: {command} --recheck"
    remedies = {
        "input changed": changed,
        "input gone": gone,
        "input unreadable": gone,
        "unlisted": "take unlisted files away",
        REMADE: f"for the same bytes install the versions that {ledger.config} names",
    }
    found = {remedies.get(problem.partition(":")[0], damage) for problem in problems}
    return "; ".join(remedy for remedy in dict.fromkeys([*remedies.values(), damage]) if remedy in found)


def _output_problems(
    run: Run, commits: Commits, src: Place | None, *, quick: bool, pixels: bool
) -> Iterator[str]:
    """Problems of all outputs and, with `src`, of the inputs."""
    ledger, plan = run.ledger, run.plan
    outs: set[str] = set()
    complete = True
    for shard, commit in zip(plan.shards, commits, strict=True):
        rows = committed_rows(ledger, shard, commit) if commit else None
        if commit is None or rows is None:
            complete = False
            yield f"changed: rows of shard {shard.id}" if commit else f"missing: outputs of shard {shard.id}"
            outs.update(output_names(plan, shard, run.settings))
            continue
        outs.update([shard.tar] if shard.tar else (row.out for row in rows if row.out))
        found = shard_problems(ledger, shard, commit, rows, quick=quick)
        yield from found.values()
        if pixels:
            yield from pixel_problems(ledger, [row for row in rows if row.out not in found])
        if src is not None:
            yield from _source_problems(src, read_items(plan.folder, shard), rows)
    if complete and not quick:
        yield from manifest_problems(ledger, plan.shards)
    yield from unlisted(ledger, outs)


def _source_problems(src: Place, items: list[Item], rows: list[Row]) -> Iterator[str]:
    """Images that are not those that the textures were made from."""
    pairs = [(item, row) for item, row in zip(items, rows, strict=True) if row.src_sha256]
    inputs = _inputs(src, [item for item, _ in pairs])
    for (item, row), data in zip(pairs, inputs, strict=True):
        if isinstance(data, FileNotFoundError):
            yield f"input gone: {show(item.src)}"
        elif isinstance(data, OSError):
            yield f"input unreadable: {show(item.src)} ({data})"
        elif hashlib.sha256(data).digest() != row.src_sha256:
            yield f"input changed: {show(item.src)}"


def _inputs(src: Place, items: list[Item]) -> Iterator[bytes | OSError]:
    """Bytes of each image, or the error that reading it gave."""
    with open_reader(root_of(src), items) as read:
        for item in items:
            try:
                yield with_retries(partial(read, item))
            except OSError as error:
                yield error


def _resynth_problems(run: Run, commits: Commits, src: Place, count: int) -> Iterator[str]:
    """Make an even sample of the textures again; missing and changed ones are reported elsewhere."""
    prepare_process()
    good = [commit.statuses.get(Status.OK, 0) if commit else 0 for commit in commits]
    before, total = 0, sum(good)
    for shard, commit, ok in zip(run.plan.shards, commits, good, strict=True):
        drawn = [i for i in range(ok) if is_drawn(before + i, count, total)]
        before += ok
        rows = committed_rows(run.ledger, shard, commit) if commit and drawn else None
        if rows is None:
            continue
        pairs = zip(read_items(run.ledger.plan, shard), rows, strict=True)
        made = [(item, row) for item, row in pairs if row.ok]
        wanted = [made[i] for i in drawn]
        for (_, row), data in zip(wanted, _inputs(src, [item for item, _ in wanted]), strict=True):
            if isinstance(data, OSError) or hashlib.sha256(data).digest() != row.src_sha256:
                continue
            with suppress(DecodeError):
                remade = make_one(data, replace(row), run.settings, choose_work(run.settings))
                if hashlib.sha256(remade).digest() != row.out_sha256:
                    yield f"{REMADE}: {show(row.out or '')}"

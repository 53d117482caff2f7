"""Changes since an earlier call: outputs that are gone and inputs that are others are made again.

Of class folders an image at a time, as the rows of the others are kept; of tars a tar at a time.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from texneg.cli.console import info
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import map_in_order, read_or_none, remove_all
from texneg.datasets.storage.url import Url
from texneg.synth.driver.inputs import Again, Hashes, compare_inputs, is_among
from texneg.synth.ledger.audit import known_rows
from texneg.synth.ledger.ledger import Commit
from texneg.synth.ledger.manifest import to_parquet
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import (
    Plan,
    Shard,
    list_names,
    out_name,
    plan_file,
    read_items,
    save_plan,
    write_items,
)


def make_changes_again(run: Run, source: Source, *, content: bool) -> Run:
    """Reopen the shards with outputs that are gone or inputs that changed, and say what was found.

    Args:
        run: an earlier one, resumed; the caller holds the lease.
        source: its inputs.
        content: compare the bytes of all inputs, instead of those only that a new size or time points to.

    Returns:
        The run, with the plan of its inputs as they are now.
    """
    begin = time.time()
    lost, names = lost_outputs(run)
    if names:
        info(f"textures that are gone or have another size, made again: {list_names(names)}")
    inputs = compare_inputs(run, source, content=content)
    for line in inputs.lines(extendable=run.settings.limit is None):
        info(line)
    if isinstance(source.root, Url) and not content:
        what = "sizes" if source.kind == "folder" else "names"
        info(f"inputs in a store were compared by their {what}; --recheck-sources compares their contents")
    for shard in lost.keys() | inputs.changed.keys():
        _reopen(run, shard, lost.get(shard, set()), inputs.changed.get(shard, set()))
    if inputs.items or inputs.broken != run.plan.source.broken:
        run = replace(run, plan=_update_plan(run.plan, inputs.items, inputs.broken))
    if not inputs.unreadable:
        compared = {"compared": begin, "emptied": inputs.emptied}
        write_json(run.ledger.sources, compared, tag=run.ledger.tag)
    return run


def lost_outputs(run: Run) -> tuple[Again, list[str]]:
    """The images whose outputs are gone or of another size, and the names of these files.

    Every folder is listed once. Names and sizes are kept as hashes, so that a million of them are small.
    """
    ledger, shards = run.ledger, run.plan.shards
    markers, commits = ledger.markers(shards), ledger.commits(shards)
    pairs = list(zip(shards, markers, commits, strict=True))
    again: Again = {shard: set(range(shard.n)) for shard, marker, commit in pairs if marker and not commit}
    names = [shard.tar or f"all of shard {shard.id}" for shard in again]
    written: dict[Shard, Hashes] = {}
    folders: dict[str, None] = {}
    unfinished = [shard for shard, _, commit in pairs if not (commit or shard.tar or shard in again)]
    begun = {shard for shard, _, marker in ledger.parts_of(run.plan, unfinished) if marker}
    begun |= {shard for shard, kept in zip(unfinished, ledger.kept_rows(unfinished), strict=True) if kept}
    known = [(shard, commit) for shard, _, commit in pairs if not shard.tar and (commit or shard in begun)]
    for (shard, commit), outs in zip(known, map_in_order(partial(_outs, run), known), strict=True):
        if commit and not outs:
            again[shard] = set(range(shard.n))
            names.append(f"rows of shard {shard.id}")
        written[shard] = _hashes((ledger.listed_name(out), size) for _, out, size in outs if out)
        folders.update(dict.fromkeys(out.rpartition("/")[0] for _, out, _ in outs if out))
    listings = map_in_order(lambda folder: list(ledger.sizes(folder)), folders)
    there = np.sort(_hashes(file for listing in listings for file in listing))
    for shard, commit in known:
        found = is_among(written[shard], there)[1]
        if not found.all():
            made = [(index, out) for index, out, _ in _outs(run, (shard, commit)) if out]
            gone = [pair for pair, is_there in zip(made, found, strict=True) if not is_there]
            again[shard] = {index for index, _ in gone}
            names += [out for _, out in gone]
    return again, names


def _outs(run: Run, known: tuple[Shard, Commit | None]) -> list[tuple[int, str | None, int | None]]:
    """Position, name and size of every output of a shard that is made; none if its rows are damaged."""
    shard, commit = known
    if commit is None:
        rows = known_rows(run.ledger, run.plan, shard, None).values()
        return [(row.index, row.out, row.out_bytes) for row in rows]
    try:
        data = read_or_none(run.ledger.done(shard, ".parquet")) or b""
        table = pq.read_table(BytesIO(data), columns=["index", "out", "out_bytes"])
    except (pa.ArrowException, OSError):
        return []
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _hashes(values: Iterable[tuple[str, int | None]]) -> Hashes:
    return np.fromiter(map(hash, values), np.int64)


def _reopen(run: Run, shard: Shard, lost: set[int], changed: set[int]) -> None:
    """Reopen a shard and keep the rows of the images that are not to be made again.

    The output of a changed input is removed, since it may have none from now on.
    """
    ledger, plan = run.ledger, run.plan
    ledger.manifest.unlink(missing_ok=True)  # a run with a manifest is finished
    [commit] = ledger.commits([shard])
    rows = {} if shard.tar else known_rows(ledger, plan, shard, commit)
    kept = [row for i, row in sorted(rows.items()) if i not in lost and i not in changed]
    if changed:
        items = read_items(plan.folder, shard)
        outs = [out_name(items[i], shard, run.settings, plan.source.kind) for i in sorted(changed)]
        remove_all(ledger.dst / unescape(out) for out in ([shard.tar] if shard.tar else outs))
    ledger.reopen(shard, plan.parts(shard), to_parquet(kept) if kept else b"")


def _update_plan(plan: Plan, items: dict[Shard, list[Item]], broken: list[str]) -> Plan:
    """Write the plan files of these shards anew, with their inputs as they are now."""
    shards = list(plan.shards)
    for number in sorted({shard.file for shard in items}):
        here = [shard for shard in shards if shard.file == number]
        now = (
            (replace(shard, n=len(own)), own)
            for shard in here
            for own in [items.get(shard) or read_items(plan.folder, shard)]
        )
        written, _ = write_items(plan_file(plan.folder, number), now)
        new = iter(written)
        shards = [next(new) if shard.file == number else shard for shard in shards]
    source = replace(plan.source, broken=broken)
    plan = replace(plan, shards=tuple(shards), images=sum(shard.n for shard in shards), source=source)
    save_plan(plan)
    return plan

"""Requeue images of the quarantine, after the cause was mended."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.synth.ledger.manifest import Row, Status, read_rows
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Shard, plan_file, read_items, write_items


def requeue_quarantined(run: Run, source: Source, statuses: Sequence[str]) -> int:
    """Reopen every committed shard with such an image, to be made from the inputs as they are now.

    Good images of these shards are made again, too, to the same bytes.

    Args:
        run: with a plan.
        source: its inputs, walked once to find the present sizes of images.
        statuses: of the images to try again; empty for all.

    Returns:
        The number of images that will be tried again.
    """
    commits = zip(run.plan.shards, run.ledger.commits(run.plan.shards), strict=True)
    again = {
        shard: read_rows(run.ledger.done(shard, ".parquet"))
        for shard, commit in commits
        if commit and any(_matches(status, statuses) for status in commit.statuses)
    }
    if not again:
        return 0
    wanted = {item.src for shard in again for item in read_items(run.plan.folder, shard)}
    found: dict[str, list[Item]] = {}
    for item in source.items():
        if item.src in wanted:
            found.setdefault(item.src, []).append(item)
    for number in sorted({shard.file for shard in again}):
        shards = [shard for shard in run.plan.shards if shard.file == number]
        write_items(plan_file(run.plan.folder, number), _update_items(run, shards, again, found))
    for shard in again:
        run.ledger.reopen(shard, run.plan.parts(shard))
    return sum(_matches(row.status, statuses) for rows in again.values() for row in rows)


def _matches(status: Status, statuses: Sequence[str]) -> bool:
    return status != Status.OK and (not statuses or status in statuses)


def _update_items(
    run: Run, shards: list[Shard], again: dict[Shard, list[Row]], found: dict[str, list[Item]]
) -> Iterator[tuple[Shard, list[Item]]]:
    """The items of a plan file; those of the shards to make again are taken from the source."""
    for shard in shards:
        items = read_items(run.plan.folder, shard)
        if shard in again:
            pairs = zip(items, again[shard], strict=True)
            items = [_update_item(item, row, found.get(item.src, [])) for item, row in pairs]
        yield shard, items


def _update_item(item: Item, row: Row, found: list[Item]) -> Item:
    """An input as it is now; one of the quarantine that is gone keeps its row."""
    if found:
        return replace(found.pop(0), split=item.split, key=item.key)
    if row.ok:
        return item
    return replace(item, status=str(row.status), error=row.error or "")

"""Another try for images in the quarantine, after the cause was mended."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.synth.ledger.manifest import Row, read_rows
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Shard, plan_file, read_items, write_items


def take_back(run: Run, source: Source, statuses: Sequence[str]) -> int:
    """Let every committed shard with such an image be made again, from the inputs as they are now.

    Good images of these shards are made again, too, to the same bytes.

    Args:
        run: with a plan.
        source: its inputs, walked once to find the sizes that images have now.
        statuses: why the images were not used; empty for any reason.

    Returns:
        The number of images that will be tried again.
    """
    markers = zip(run.plan.shards, run.ledger.markers(run.plan.shards), strict=True)
    again = {
        shard: read_rows(run.ledger.done(shard, ".parquet"))
        for shard, marker in markers
        if marker and any(_matches(status, statuses) for status in marker["statuses"])
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
        write_items(plan_file(run.plan.folder, number), _updated(run, shards, again, found))
    for shard in again:
        run.ledger.reopen(shard, run.plan.parts(shard))
    return sum(_matches(row["status"], statuses) for rows in again.values() for row in rows)


def _matches(status: str, statuses: Sequence[str]) -> bool:
    return status != "ok" and (not statuses or status in statuses)


def _updated(
    run: Run, shards: list[Shard], again: dict[Shard, list[Row]], found: dict[str, list[Item]]
) -> Iterator[tuple[Shard, list[Item]]]:
    """The items of a plan file, those of the shards to make again as the source has them now."""
    for shard in shards:
        items = read_items(run.plan.folder, shard)
        if shard in again:
            pairs = zip(items, again[shard], strict=True)
            items = [_now(item, row, found.get(item.src, [])) for item, row in pairs]
        yield shard, items


def _now(item: Item, row: Row, found: list[Item]) -> Item:
    """An input as it is now; one in the quarantine that is gone keeps its row."""
    if found:
        return replace(found.pop(0), split=item.split, key=item.key)
    if row["status"] == "ok":
        return item
    return replace(item, status=row["status"], error=row["error"])

"""The end of a run whose shards are all committed: one manifest, the quarantine, checksums and statistics."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from texneg.datasets.atomic import atomic_file, write_json
from texneg.datasets.names import unescape
from texneg.synth.job import STAGES
from texneg.synth.ledger import Ledger, read_json
from texneg.synth.manifest import Row, read_rows, write_groups
from texneg.synth.plan import Plan


def finalize(ledger: Ledger, plan: Plan) -> None:
    """Write manifest, quarantine and SHA256SUMS in plan order, and remove what kills left behind.

    Holds the rows of one shard at a time. Doing it again gives the same files.
    """
    with (
        atomic_file(ledger.manifest, tag=ledger.tag) as manifest,
        atomic_file(ledger.quarantine, tag=ledger.tag) as quarantine,
        atomic_file(ledger.sums, tag=ledger.tag) as sums,
    ):
        write_groups(manifest, _tee_sums(ledger, plan, sums))
        write_groups(
            quarantine, ([row for row in rows if row["status"] != "ok"] for rows in _tables(ledger, plan))
        )
    ledger.sweep()


def _tables(ledger: Ledger, plan: Plan) -> Iterator[list[Row]]:
    for shard in plan.shards:
        yield read_rows(ledger.done(shard, ".parquet"))


def _tee_sums(ledger: Ledger, plan: Plan, sums: Any) -> Iterator[list[Row]]:
    """The rows of each shard; on the way, a `sha256sum` line per output file: a tar, or every texture."""
    for shard, rows in zip(plan.shards, _tables(ledger, plan), strict=True):
        if shard.tar:
            files = {name: file["sha256"] for name, file in (ledger.marker(shard) or {})["files"].items()}
        else:
            files = {row["out"]: row["out_sha256"].hex() for row in rows if row["out"]}
        sums.writelines(_sum_line(digest, os.fsencode(unescape(name))) for name, digest in files.items())
        yield rows


def _sum_line(digest: str, name: bytes) -> bytes:
    """A line of `sha256sum`; one with a newline or a backslash in the name is escaped and begins with one."""
    shown = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b"%b%b  %b\n" % (b"" if shown == name else b"\\", digest.encode(), shown)


def write_stats(ledger: Ledger, plan: Plan, outcome: dict[str, Any], call: dict[str, Any]) -> None:
    """Write counts and seconds by stage over the committed shards, the outcome and the calls so far."""
    calls = (read_json(ledger.stats) or {}).get("calls", [])
    markers = [marker for marker in ledger.markers(plan.shards) if marker is not None]
    statuses: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for marker in markers:
        statuses.update(marker["statuses"])
        seconds.update(marker["seconds"])
    images = sum(marker["n"] for marker in markers)
    stats = {
        "shards": len(plan.shards),
        "committed": len(markers),
        "images": plan.images,
        "committed_images": images,
        "statuses": dict(sorted(statuses.items())),
        "seconds": {stage: round(seconds[stage], 6) for stage in STAGES},
        "ms_per_image": {stage: round(1000 * seconds[stage] / max(images, 1), 3) for stage in STAGES},
        "source": plan.source,
        "calls": [*calls, call] if call["images"] else calls,
        **outcome,
    }
    write_json(ledger.stats, stats, tag=ledger.tag)

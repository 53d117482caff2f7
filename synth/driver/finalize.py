"""The end of a run whose shards are all committed: one manifest, the quarantine, checksums and statistics."""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from texneg.datasets.storage.atomic import atomic_file
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import read_all
from texneg.errors import RunFailed
from texneg.synth.driver.duplicates import Twins
from texneg.synth.ledger.ledger import Ledger, Marker, read_json
from texneg.synth.ledger.manifest import table_writer, to_table
from texneg.synth.plan.plan import Plan, Shard
from texneg.synth.task.clock import STAGES


def finalize(ledger: Ledger, plan: Plan) -> dict[str, int]:
    """Write manifest, quarantine and SHA256SUMS in plan order, and remove what kills left behind.

    Holds the rows of a few shards at a time. Doing it again gives the same files. The manifest appears last:
    where it is, the run is finished.

    Returns:
        `identical` inputs, that have the bytes of an earlier one; `identical_counted_1_in`, 1 where all
        contents were counted and n where one of n was, for an estimate; `used_though_truncated`, images of
        files that are cut short.
    """
    import pyarrow.compute as pc  # 6 MB that a driver can do without until now

    twins, truncated = Twins(plan.images), 0
    with (
        atomic_file(ledger.manifest, tag=ledger.tag) as manifest,
        atomic_file(ledger.quarantine, tag=ledger.tag) as quarantine,
        atomic_file(ledger.sums, tag=ledger.tag) as sums,
        table_writer(manifest) as every,
        table_writer(quarantine) as bad,
    ):
        tables = read_all(ledger.done(shard, ".parquet") for shard in plan.shards)
        for shard, marker, data in zip(plan.shards, ledger.markers(plan.shards), tables, strict=True):
            if marker is None or data is None:
                raise RunFailed(
                    f"shard {shard.id} is gone from {ledger.root} while it was joined; run it again"
                )
            table = to_table(data)
            every.write_table(table)
            twins.add(table)
            truncated += table.filter((pc.field("status") == "ok") & pc.field("error").is_valid()).num_rows
            if marker["statuses"].get("ok", 0) < table.num_rows:
                bad.write_table(table.filter(pc.field("status") != "ok"))
            sums.writelines(_sum_lines(shard, marker, table))
    ledger.sweep()
    return {
        "identical": twins.count(),
        "identical_counted_1_in": twins.every,
        "used_though_truncated": truncated,
    }


def _sum_lines(shard: Shard, marker: Marker, table: pa.Table) -> Iterator[bytes]:
    """A `sha256sum` line for each output file: a tar, or every texture."""
    if shard.tar:
        files = ((name, file["sha256"]) for name, file in marker["files"].items())
    else:
        outs = zip(table["out"].to_pylist(), table["out_sha256"].to_pylist(), strict=True)
        files = ((name, digest.hex()) for name, digest in outs if name)
    return (_sum_line(digest, os.fsencode(unescape(name))) for name, digest in files)


def _sum_line(digest: str, name: bytes) -> bytes:
    """A line of `sha256sum`; one with a newline or a backslash in the name is escaped and begins with one."""
    shown = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b"%b%b  %b\n" % (b"" if shown == name else b"\\", digest.encode(), shown)


def write_stats(ledger: Ledger, plan: Plan, outcome: dict[str, Any], call: dict[str, Any]) -> None:
    """Write counts and seconds by stage over the committed shards, the outcome and the calls so far.

    A call that made nothing and changed nothing leaves them as they are.
    """
    stored = read_json(ledger.stats) or {}
    if not call["images"] and stored.get("shards") == len(plan.shards) and outcome.items() <= stored.items():
        return
    calls = stored.get("calls", [])
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

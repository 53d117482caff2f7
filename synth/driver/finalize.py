"""Finish a run whose shards are all committed: one manifest, the quarantine, checksums and statistics."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from texneg.datasets.storage.atomic import atomic_file, write_bytes
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import read_all
from texneg.errors import RunFailed
from texneg.synth.driver.loop import Verdict
from texneg.synth.ledger.ledger import STAGES, Commit, Ledger, read_json
from texneg.synth.ledger.manifest import Status, table_writer, to_table
from texneg.synth.plan.plan import Plan, Shard

MOST_DIGESTS = 1 << 24  # of 8 bytes each; with more inputs only a share of the contents is counted
WORDS = 4  # of 64 bits in a SHA-256


class DuplicateCounter:
    """Counts inputs whose bytes an earlier input had, from the `src_sha256` of the manifest's tables.

    Takes the first 64 bits for the whole checksum. Of more than 16 million inputs it keeps those whose
    checksum is divisible by a certain number: either all copies of a content or none, so that the count of
    the share, times the number, is an unbiased estimate.
    """

    def __init__(self, images: int) -> None:
        self.every = ceil(images / MOST_DIGESTS)
        """1 where the count is exact."""
        self._found: list[npt.NDArray[np.uint64]] = []

    def add(self, table: pa.Table) -> None:
        """Add the inputs of a table."""
        digests = table["src_sha256"].drop_null().combine_chunks()
        words = np.frombuffer(digests.buffers()[1] or b"", "<u8")
        first = words[::WORDS][digests.offset : digests.offset + len(digests)]
        self._found.append(first[first % np.uint64(self.every) == 0])

    def count(self) -> int:
        """Number of inputs less number of different contents."""
        digests = np.concatenate([*self._found, np.empty(0, np.uint64)])
        digests.sort()
        return self.every * int(np.count_nonzero(digests[1:] == digests[:-1]))


@dataclass(frozen=True)
class InputCounts:
    """Peculiarities of the inputs as a whole."""

    identical: int = 0
    """Inputs that have the bytes of an earlier one."""
    identical_counted_1_in: int = 1
    """1 where all contents were counted, and n where one of n was, for an estimate."""
    used_though_truncated: int = 0
    """Images of truncated files, or of damaged ones that decode all the same."""


@dataclass(frozen=True)
class Call:
    """One invocation of the command for a run."""

    command: str
    cores: int
    images: int
    """Made by this call."""
    seconds: float


def finalize(ledger: Ledger, plan: Plan) -> InputCounts:
    """Write manifest, quarantine and SHA256SUMS in plan order, and remove what kills left behind.

    Holds the rows of a few shards at a time. Doing it again gives the same files. The manifest appears last:
    where it exists, the run is finished.
    """
    import pyarrow.compute as pc  # 6 MB that a driver does not need until now

    duplicates, truncated = DuplicateCounter(plan.images), 0
    with (
        atomic_file(ledger.manifest, tag=ledger.tag) as manifest,
        atomic_file(ledger.quarantine, tag=ledger.tag) as quarantine,
        atomic_file(ledger.sums, tag=ledger.tag) as sums,
        table_writer(manifest) as every,
        table_writer(quarantine) as bad,
    ):
        tables = read_all(ledger.done(shard, ".parquet") for shard in plan.shards)
        for shard, commit, data in zip(plan.shards, ledger.commits(plan.shards), tables, strict=True):
            if commit is None or data is None:
                raise RunFailed(
                    f"shard {shard.id} is gone from {ledger.root} while it was joined; run it again"
                )
            table = to_table(data)
            every.write_table(table)
            duplicates.add(table)
            truncated += table.filter((pc.field("status") == "ok") & pc.field("error").is_valid()).num_rows
            if commit.statuses.get(Status.OK, 0) < table.num_rows:
                bad.write_table(table.filter(pc.field("status") != "ok"))
            sums.writelines(_checksum_lines(shard, commit, table))
    ledger.sweep()
    return InputCounts(duplicates.count(), duplicates.every, truncated)


def join_metrics(ledger: Ledger) -> None:
    """Move the metrics of all tasks of a job array to the one file of the run."""
    logs = ledger.all_task_metrics()
    if not logs:
        return
    lines = dict.fromkeys(
        line for path in (ledger.metrics, *logs) if path.exists() for line in path.read_bytes().splitlines()
    )
    write_bytes(ledger.metrics, b"\n".join([*lines, b""]), tag=ledger.tag)
    for path in logs:
        path.unlink()


def _checksum_lines(shard: Shard, commit: Commit, table: pa.Table) -> Iterator[bytes]:
    """A `sha256sum` line for each output file: a tar, or every texture."""
    if shard.tar:
        files = ((name, file.sha256) for name, file in commit.files.items())
    else:
        outs = zip(table["out"].to_pylist(), table["out_sha256"].to_pylist(), strict=True)
        files = ((name, digest.hex()) for name, digest in outs if name)
    return (_checksum_line(digest, os.fsencode(unescape(name))) for name, digest in files)


def _checksum_line(digest: str, name: bytes) -> bytes:
    """A line of `sha256sum`; with a newline or a backslash in the name it is escaped and begins with one."""
    shown = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b"%b%b  %b\n" % (b"" if shown == name else b"\\", digest.encode(), shown)


def load_input_counts(ledger: Ledger) -> InputCounts | None:
    """Read the counts that an earlier call noted; None where no call has finished the run."""
    inputs = (read_json(ledger.stats) or {}).get("inputs")
    return InputCounts(**inputs) if inputs else None


def write_stats(
    ledger: Ledger,
    plan: Plan,
    verdict: Verdict,
    *,
    failed: Mapping[str, str],
    inputs: InputCounts | None,
    call: Call,
) -> None:
    """Write counts and seconds by stage over the committed shards, the outcome and the calls so far.

    A call that made nothing and changed nothing leaves them as they are.
    """
    stored = read_json(ledger.stats) or {}
    outcome = {"outcome": verdict, "failed": dict(failed), "inputs": asdict(inputs) if inputs else {}}
    if not call.images and stored.get("shards") == len(plan.shards) and outcome.items() <= stored.items():
        return
    calls = stored.get("calls", [])
    commits = [commit for commit in ledger.commits(plan.shards) if commit is not None]
    statuses: Counter[Status] = Counter()
    seconds: Counter[str] = Counter()
    for commit in commits:
        statuses.update(commit.statuses)
        seconds.update(commit.seconds)
    images = sum(commit.n for commit in commits)
    stats = {
        "shards": len(plan.shards),
        "committed": len(commits),
        "images": plan.images,
        "committed_images": images,
        "statuses": statuses,
        "seconds": {stage: round(seconds[stage], 6) for stage in STAGES},
        "ms_per_image": {stage: round(1000 * seconds[stage] / max(images, 1), 3) for stage in STAGES},
        "source": asdict(plan.source),
        "calls": [*calls, asdict(call)] if call.images else calls,
        **outcome,
    }
    write_json(ledger.stats, stats, tag=ledger.tag)

"""The ledger: files beside the output that say what is done. They are the only state of a run.

    config.json  metrics.jsonl  plan/  parts/<shard>.<part>.*  done/<shard>.*  manifest/  quarantine.parquet
    stats.json  SHA256SUMS  log/  lock

A part or a shard counts as done when its `.json` marker is there, which is written after its data.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.datasets.atomic import TEMPORARY_SUFFIX, write_json
from texneg.datasets.names import unescape
from texneg.synth.plan import Shard

Marker = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """Places in the ledger of one run."""

    root: Path
    dst: Path
    fingerprint: str = ""

    @property
    def tag(self) -> str:
        """What this run's temporary files carry in their name."""
        return self.fingerprint[:8]

    @property
    def config(self) -> Path:
        """Settings, seed, command and versions; its presence makes a ledger."""
        return self.root / "config.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per committed shard."""
        return self.root / "metrics.jsonl"

    @property
    def plan(self) -> Path:
        """Folder of the frozen plan."""
        return self.root / "plan"

    @property
    def manifest(self) -> Path:
        """One row per input, made when the run ends."""
        return self.root / "manifest" / "part-00000.parquet"

    @property
    def quarantine(self) -> Path:
        """The manifest's rows of images that could not be used."""
        return self.root / "quarantine.parquet"

    @property
    def sums(self) -> Path:
        """`sha256sum -c` checks the outputs against it, run inside DST."""
        return self.root / "SHA256SUMS"

    @property
    def lock(self) -> Path:
        """Names the driver at work."""
        return self.root / "lock"

    @property
    def stats(self) -> Path:
        """Counts, seconds by stage and the outcome."""
        return self.root / "stats.json"

    @property
    def log(self) -> Path:
        """Log of the bad images and timings of the calling process."""
        return self.root / "log" / f"{os.uname().nodename}-{os.getpid()}.jsonl"

    def done(self, shard: Shard, suffix: str) -> Path:
        """`.parquet` rows or `.json` marker of a committed shard."""
        return self.root / "done" / f"{shard.id}{suffix}"

    def part(self, shard: Shard, part: int, suffix: str) -> Path:
        """`.tar` fragment, `.parquet` rows or `.json` marker of a finished part of an unfinished shard."""
        return self.root / "parts" / f"{shard.id}.{part:04d}{suffix}"

    def marker(self, shard: Shard) -> Marker | None:
        """The commit marker of a shard whose output tar, if any, is still there."""
        marker = read_json(self.done(shard, ".json"))
        if marker is None or marker["fingerprint"] != self.fingerprint:
            return None
        good = all(
            _size(self.dst / unescape(name)) == file["bytes"] for name, file in marker["files"].items()
        )
        return marker if good and self.dst.is_dir() else None

    def part_marker(self, shard: Shard, part: int) -> Marker | None:
        """The marker of a finished part."""
        marker = read_json(self.part(shard, part, ".json"))
        return marker if marker and marker["fingerprint"] == self.fingerprint else None

    def write_marker(self, path: Path, marker: Marker) -> None:
        """Write a commit or part marker."""
        write_json(path, {**marker, "fingerprint": self.fingerprint}, tag=self.tag)

    def remove_parts(self, shard: Shard, parts: int) -> None:
        """Forget the parts of a committed shard, markers first."""
        for suffix in (".json", ".parquet", ".tar"):
            for part in range(parts):
                self.part(shard, part, suffix).unlink(missing_ok=True)

    def sweep(self) -> None:
        """After the last commit: remove left-over parts and this run's temporary files, and nothing else."""
        shutil.rmtree(self.root / "parts", ignore_errors=True)
        for path in self.temporaries():
            path.unlink(missing_ok=True)

    def temporaries(self) -> Iterator[Path]:
        """Temporary files that a kill of this run left behind."""
        for root in (self.dst, self.root):
            for folder, _, names in os.walk(root):
                for name in names:
                    if name.startswith(".") and f".{self.tag}-" in name and name.endswith(TEMPORARY_SUFFIX):
                        yield Path(folder, name)


def read_json(path: Path) -> Marker | None:
    """A JSON object, or None where there is none or only half of one."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1

"""The ledger: files beside the output that say what is done. They are the only state of a run.

    config.json  metrics.jsonl  plan/  parts/<shard>.<part>.*  done/<shard>.*  manifest/  quarantine.parquet
    stats.json  SHA256SUMS  log/  lock

A part or a shard counts as done when its `.json` marker is there, which is written after its data.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.datasets.storage.atomic import TEMPORARY_SUFFIX
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.names import escape, unescape
from texneg.datasets.storage.places import (
    Place,
    content,
    files_below,
    read_all,
    remove_all,
    remove_tree,
    size_of,
    sizes_in,
)
from texneg.datasets.storage.url import Url, as_text
from texneg.synth.plan.plan import Plan, Shard

AT_A_TIME = 1000
Marker = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """Places in the ledger of one run."""

    root: Place
    dst: Place
    fingerprint: str = ""

    @property
    def tag(self) -> str:
        """What this run's temporary files carry in their name."""
        return self.fingerprint[:8]

    @property
    def config(self) -> Place:
        """Settings, seed, command and versions; its presence makes a ledger."""
        return self.root / "config.json"

    @property
    def metrics(self) -> Place:
        """One JSON line per committed shard."""
        return self.root / "metrics.jsonl"

    @property
    def plan(self) -> Place:
        """Folder of the frozen plan."""
        return self.root / "plan"

    @property
    def manifest(self) -> Place:
        """One row per input, made when the run ends."""
        return self.root / "manifest" / "part-00000.parquet"

    @property
    def quarantine(self) -> Place:
        """The manifest's rows of images that could not be used."""
        return self.root / "quarantine.parquet"

    @property
    def sums(self) -> Place:
        """`sha256sum -c` checks the outputs against it, run inside DST."""
        return self.root / "SHA256SUMS"

    @property
    def lock(self) -> Place:
        """Names the driver at work."""
        return self.root / "lock"

    @property
    def stats(self) -> Place:
        """Counts, seconds by stage and the outcome."""
        return self.root / "stats.json"

    @property
    def log(self) -> Place:
        """Log of the bad images and timings of the calling process."""
        return self.root / "log" / f"{os.uname().nodename}-{os.getpid()}.jsonl"

    def is_in_force(self) -> bool:
        """Whether the run is still there, and no other in its place."""
        return (read_json(self.config) or {}).get("fingerprint") == self.fingerprint

    def listed_name(self, out: str) -> str:
        """A path below DST, escaped, as listings show it: a store keeps only names that are text."""
        return escape(as_text(unescape(out))) if isinstance(self.dst, Url) else out

    def done(self, shard: Shard, suffix: str) -> Place:
        """`.parquet` rows or `.json` marker of a committed shard."""
        return self.root / "done" / f"{shard.id}{suffix}"

    def part(self, shard: Shard, part: int, suffix: str) -> Place:
        """`.tar` fragment, `.parquet` rows or `.json` marker of a finished part of an unfinished shard."""
        return self.root / "parts" / f"{shard.id}.{part:04d}{suffix}"

    def marker(self, shard: Shard) -> Marker | None:
        """The commit marker of a shard whose output is still there."""
        return self.markers([shard])[0]

    def markers(self, shards: Sequence[Shard]) -> list[Marker | None]:
        """The commit marker of each shard, None where it is not committed or its output tar is not there.

        Reads the markers a few at a time, and lists every folder of tars once.
        """
        found = [_parsed(data) for data in _contents([self.done(shard, ".json") for shard in shards])]
        sizes = self._sizes_of([shard.tar for shard in shards if shard.tar])
        there = self.dst.is_dir()
        return [marker if self._is_good(marker, sizes, there) else None for marker in found]

    def _sizes_of(self, tars: list[str]) -> dict[str, int]:
        """Bytes of output tars by name: of one by asking for it, of more by one listing a folder."""
        if len(tars) == 1:
            return {tars[0]: size_of(self.dst / unescape(tars[0]))}
        folders = {name.rpartition("/")[0] for name in tars}
        found = {name: size for folder in folders for name, size in self.sizes(folder)}
        return {name: found.get(self.listed_name(name), -1) for name in tars}

    def _is_good(self, marker: Marker | None, sizes: dict[str, int], there: bool) -> bool:
        if marker is None or marker["fingerprint"] != self.fingerprint:
            return False
        if not there and marker["statuses"].get("ok"):
            return False
        return all(sizes[name] == file["bytes"] for name, file in marker["files"].items())

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Name as in `listed_name`, and bytes, of every file of a folder of the output."""
        prefix = f"{self.listed_name(folder)}/" if folder else ""
        for name, size in sizes_in(self.dst / unescape(folder) if folder else self.dst):
            yield prefix + escape(name), size

    def part_marker(self, shard: Shard, part: int) -> Marker | None:
        """The marker of a finished part."""
        return next(self.part_markers([(shard, part)]))

    def part_markers(self, parts: Iterable[tuple[Shard, int]]) -> Iterator[Marker | None]:
        """The marker of each part of a shard, None where it is not finished; reads a few at a time."""
        for data in _contents([self.part(shard, part, ".json") for shard, part in parts]):
            marker = _parsed(data)
            yield marker if marker and marker["fingerprint"] == self.fingerprint else None

    def parts_of(self, plan: Plan, shards: Sequence[Shard]) -> Iterator[tuple[Shard, int, Marker | None]]:
        """Every part of some shards with its marker, for so many shards at a time as share a folder."""
        for i in range(0, len(shards), AT_A_TIME):
            parts = [
                (shard, part) for shard in shards[i : i + AT_A_TIME] for part in range(plan.parts(shard))
            ]
            for (shard, part), marker in zip(parts, self.part_markers(parts), strict=True):
                yield shard, part, marker

    def write_marker(self, path: Place, marker: Marker) -> None:
        """Write a commit or part marker."""
        write_json(path, {**marker, "fingerprint": self.fingerprint}, tag=self.tag)

    def remove_parts(self, shard: Shard, parts: int) -> None:
        """Forget the parts of a committed shard, markers first."""
        suffixes = (".json", ".parquet", ".tar") if shard.tar else (".json", ".parquet")
        remove_all(self.part(shard, part, suffix) for suffix in suffixes for part in range(parts))

    def reopen(self, shard: Shard, parts: int) -> None:
        """Take back the commit of a shard, so that it is made again."""
        self.done(shard, ".json").unlink()
        self.remove_parts(shard, parts)

    def sweep(self) -> None:
        """After the last commit: remove left-over parts and this run's temporary files, and nothing else."""
        remove_tree(self.root / "parts")
        remove_all(self.temporaries())

    def temporaries(self) -> Iterator[Place]:
        """Temporary files that a kill left behind: this run's in DST, all in the ledger; none in a store."""
        for root, mark in ((self.dst, f".{self.tag}-"), (self.root, "")):
            for path in files_below(root) if isinstance(root, Path) else ():
                name = path.rpartition("/")[2]
                if name.startswith(".") and mark in name and name.endswith(TEMPORARY_SUFFIX):
                    yield root / path


def _contents(paths: list[Place]) -> list[bytes | None]:
    """Of small files, None where there is none; of many, only those are read that a listing shows."""
    if len(paths) == 1:
        return [content(paths[0])]
    names = {folder: {name for name, _ in sizes_in(folder)} for folder in {path.parent for path in paths}}
    there = [path for path in paths if path.name in names[path.parent]]
    found = dict(zip(there, read_all(there), strict=True))
    return [found.get(path) for path in paths]


def read_json(path: Place) -> Marker | None:
    """A JSON object, or None where there is none or only half of one."""
    return _parsed(content(path))


def _parsed(data: bytes | None) -> Marker | None:
    try:
        return None if data is None else json.loads(data)
    except json.JSONDecodeError:
        return None

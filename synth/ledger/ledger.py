"""The ledger: files beside the output that record what is done. They are the only state of a run.

    config.json  metrics.jsonl  plan/  parts/<shard>.<part>.*  done/<shard>.*  manifest/  quarantine.parquet
    stats.json  SHA256SUMS  sources.json  log/  lock

A part or a shard counts as done when its `.json` marker exists, which is written after its data.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from texneg.datasets.storage.atomic import TEMPORARY_SUFFIX, write_bytes
from texneg.datasets.storage.json_files import parse_json, write_json
from texneg.datasets.storage.names import escape, unescape
from texneg.datasets.storage.places import (
    Place,
    list_files,
    list_sizes,
    read_all,
    read_or_none,
    remove_all,
    remove_tree,
    size_of,
)
from texneg.datasets.storage.url import Url, escape_for_store
from texneg.synth.ledger.manifest import Status, to_table
from texneg.synth.plan.plan import Plan, Shard

AT_A_TIME = 1000
SPARE_BYTES = 1 << 16
STAGES = ("read", "decode", "synthesis", "encode", "write")
"""Stages of a task whose wall time is measured."""


@dataclass(frozen=True)
class OutputFile:
    """Size and checksum of an output tar."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Marker:
    """The record of a finished part of a shard."""

    n: int
    """Images."""
    statuses: dict[Status, int]
    seconds: dict[str, float]
    """By stage."""


@dataclass(frozen=True)
class Commit(Marker):
    """The record of a finished shard."""

    shard: str
    files: dict[str, OutputFile]
    """Its output tar, by name below DST; empty for class folders, and where no image could be used."""
    rows_sha256: str
    host: str
    texneg: str


@dataclass(frozen=True)
class Ledger:
    """The places of one run's ledger."""

    root: Place
    dst: Place
    fingerprint: str = ""

    @property
    def tag(self) -> str:
        """A part of the names of this run's temporary files."""
        return self.fingerprint[:8]

    @property
    def config(self) -> Place:
        """Settings, seed, command and versions; a folder with this file is a ledger."""
        return self.root / "config.json"

    @property
    def metrics(self) -> Place:
        """One JSON line per committed shard."""
        return self.root / "metrics.jsonl"

    def task_metrics(self, task: int, tasks: int) -> Place:
        """The metrics of one task of a job array. In a store, where lines are objects, those of the run."""
        if isinstance(self.root, Url):
            return self.metrics
        return self.root / "log" / f"metrics-{task}-of-{tasks}.jsonl"

    def all_task_metrics(self) -> list[Path]:
        """The metrics that tasks of a job array have written since results were joined; none in a store."""
        return [] if isinstance(self.root, Url) else sorted((self.root / "log").glob("metrics-*.jsonl"))

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
        """Checksums of the outputs for `sha256sum -c`, run inside DST."""
        return self.root / "SHA256SUMS"

    @property
    def lock(self) -> Place:
        """The lock that names the driver at work."""
        return self.root / "lock"

    @property
    def stats(self) -> Place:
        """Counts, seconds by stage and the outcome."""
        return self.root / "stats.json"

    @property
    def spare(self) -> Place:
        """A file that only takes space, removed when the disk is full so that the outcome can be recorded."""
        return self.root / "spare"

    @property
    def log(self) -> Place:
        """Log of the bad images and timings of the calling process."""
        return self.root / "log" / f"{os.uname().nodename}-{os.getpid()}.jsonl"

    def is_in_force(self) -> bool:
        """True if the ledger still holds this run, and no other in its place."""
        return (read_json(self.config) or {}).get("fingerprint") == self.fingerprint

    def listed_name(self, out: str) -> str:
        """The escaped path below DST as listings show it: a store keeps only names that are text."""
        return escape(escape_for_store(unescape(out))) if isinstance(self.dst, Url) else out

    @property
    def sources(self) -> Place:
        """The time at which the inputs were last found to be those of the plan."""
        return self.root / "sources.json"

    def kept(self, shard: Shard) -> Place:
        """The rows of a reopened shard whose textures stay, written before it is reopened."""
        return self.root / "parts" / f"{shard.id}.kept.parquet"

    def done(self, shard: Shard, suffix: str) -> Place:
        """`.parquet` rows or `.json` marker of a committed shard."""
        return self.root / "done" / f"{shard.id}{suffix}"

    def part(self, shard: Shard, part: int, suffix: str) -> Place:
        """`.tar` fragment, `.parquet` rows or `.json` marker of a finished part of an unfinished shard."""
        return self.root / "parts" / f"{shard.id}.{part:04d}{suffix}"

    def commit(self, shard: Shard) -> Commit | None:
        """The commit of a shard whose output still exists."""
        return self.commits([shard])[0]

    def commits(self, shards: Sequence[Shard]) -> list[Commit | None]:
        """The commit of each shard, None where there is none or its output tar does not exist.

        Lists every folder of tars once.
        """
        found = self.markers(shards)
        sizes = self._sizes_of([shard.tar for shard in shards if shard.tar])
        there = self.dst.is_dir()
        return [commit if commit and _is_complete(commit, sizes, there) else None for commit in found]

    def markers(self, shards: Sequence[Shard]) -> list[Commit | None]:
        """The marker of each shard, None where there is none; reads a few at a time."""
        return [self._commit(data) for data in _contents([self.done(shard, ".json") for shard in shards])]

    def _commit(self, data: bytes | None) -> Commit | None:
        if (stored := self._own(data)) is None:
            return None
        files = {name: OutputFile(**file) for name, file in stored["files"].items()}
        return Commit(**{**stored, "statuses": _by_status(stored["statuses"]), "files": files})

    def _own(self, data: bytes | None) -> dict[str, Any] | None:
        """A marker's fields; None where the marker is not of this run, or incomplete."""
        stored = _parse(data)
        if stored is None or stored.pop("fingerprint") != self.fingerprint:
            return None
        return stored

    def _sizes_of(self, tars: list[str]) -> dict[str, int]:
        """Bytes of output tars by name: one is asked for by itself, more by listing each folder once."""
        if len(tars) == 1:
            return {tars[0]: size_of(self.dst / unescape(tars[0]))}
        folders = {name.rpartition("/")[0] for name in tars}
        found = {name: size for folder in folders for name, size in self.sizes(folder)}
        return {name: found.get(self.listed_name(name), -1) for name in tars}

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Name as in `listed_name`, and bytes, of every file of a folder of the output."""
        prefix = f"{self.listed_name(folder)}/" if folder else ""
        for name, size in list_sizes(self.dst / unescape(folder) if folder else self.dst):
            yield prefix + escape(name), size

    def part_marker(self, shard: Shard, part: int) -> Marker | None:
        """The marker of a finished part."""
        return next(self.part_markers([(shard, part)]))

    def part_markers(self, parts: Iterable[tuple[Shard, int]]) -> Iterator[Marker | None]:
        """The marker of each part of a shard, None where it is not finished; reads a few at a time."""
        for data in _contents([self.part(shard, part, ".json") for shard, part in parts]):
            stored = self._own(data)
            statuses = _by_status(stored["statuses"]) if stored else {}
            yield Marker(**{**stored, "statuses": statuses}) if stored else None

    def parts_of(self, plan: Plan, shards: Sequence[Shard]) -> Iterator[tuple[Shard, int, Marker | None]]:
        """Every part of these shards with its marker, a folder of shards at a time."""
        for i in range(0, len(shards), AT_A_TIME):
            parts = [
                (shard, part) for shard in shards[i : i + AT_A_TIME] for part in range(plan.parts(shard))
            ]
            for (shard, part), marker in zip(parts, self.part_markers(parts), strict=True):
                yield shard, part, marker

    def kept_rows(self, shards: Sequence[Shard]) -> Iterator[list[int]]:
        """Positions of the images of each unfinished shard whose textures stay."""
        for data in _contents([self.kept(shard) for shard in shards]):
            yield [] if data is None else to_table(data)["index"].to_pylist()

    def write_marker(self, path: Place, marker: Marker) -> None:
        """Write the marker of a part or a shard."""
        write_json(path, {**asdict(marker), "fingerprint": self.fingerprint}, tag=self.tag)

    def remove_parts(self, shard: Shard, parts: int) -> None:
        """Remove the parts of a committed shard, markers first."""
        suffixes = (".json", ".parquet", ".tar") if shard.tar else (".json", ".parquet")
        remove_all(self.part(shard, part, suffix) for suffix in suffixes for part in range(parts))

    @contextmanager
    def spare_space(self) -> Iterator[None]:
        """Keep a little space inside the block for what is written after it; a store needs none."""
        if isinstance(self.root, Url):
            yield
            return
        with suppress(OSError):  # the first task reports a full disk
            write_bytes(self.spare, os.urandom(SPARE_BYTES), tag=self.tag)
        try:
            yield
        finally:
            with suppress(OSError):
                self.spare.unlink(missing_ok=True)

    def reopen(self, shard: Shard, parts: int, kept: bytes = b"") -> None:
        """Undo the commit of a shard, or of its parts, so that it is made again.

        Args:
            shard: to be made again.
            parts: that it has.
            kept: rows of those images whose textures stay, as Parquet.
        """
        if kept:
            write_bytes(self.kept(shard), kept, tag=self.tag)
        else:
            self.kept(shard).unlink(missing_ok=True)
        self.done(shard, ".json").unlink(missing_ok=True)
        self.remove_parts(shard, parts)

    def sweep(self) -> None:
        """Remove left-over parts and this run's temporary files, and nothing else, after the last commit."""
        remove_tree(self.root / "parts")
        remove_all(self.temporaries())

    def temporaries(self) -> Iterator[Place]:
        """Temporary files that a kill left behind: this run's in DST, all in the ledger.

        A store puts files whole: there, only a worker's trial of writing to DST itself can be left.
        """
        for root, mark in ((self.dst, f".{self.tag}-"), (self.root, "")):
            for path in list_files(root) if isinstance(root, Path) else _names(root):
                name = path.rpartition("/")[2]
                if name.startswith(".") and mark in name and name.endswith(TEMPORARY_SUFFIX):
                    yield root / path


def _names(folder: Url) -> Iterator[str]:
    """Names of the objects directly below."""
    return (entry.name for entry in folder.listing() if not entry.folder)


def _is_complete(commit: Commit, sizes: dict[str, int], there: bool) -> bool:
    """True if DST is `there`, and the output tars have the `sizes` of the commit."""
    if not there and commit.statuses.get(Status.OK):
        return False
    return all(sizes[name] == file.bytes for name, file in commit.files.items())


def _by_status(counts: dict[str, int]) -> dict[Status, int]:
    return {Status(name): count for name, count in counts.items()}


def _contents(paths: list[Place]) -> list[bytes | None]:
    """Contents of small files, None where there is none; of many files, only those in a listing are read."""
    if len(paths) == 1:
        return [read_or_none(paths[0])]
    names = {folder: {name for name, _ in list_sizes(folder)} for folder in {path.parent for path in paths}}
    there = [path for path in paths if path.name in names[path.parent]]
    found = dict(zip(there, read_all(there), strict=True))
    return [found.get(path) for path in paths]


def read_json(path: Place) -> dict[str, Any] | None:
    """Read a JSON object; None where there is none or only half of one."""
    return _parse(read_or_none(path))


def _parse(data: bytes | None) -> dict[str, Any] | None:
    try:
        return None if data is None else parse_json(data)
    except ValueError:
        return None

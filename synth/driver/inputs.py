"""The inputs of a run compared with its plan: which ones changed, which are gone, which are new."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import open_reader
from texneg.datasets.sources.sources import Source
from texneg.datasets.sources.tars import tar_listings
from texneg.datasets.storage.names import escape, unescape
from texneg.datasets.storage.places import map_in_order, parse_place
from texneg.datasets.storage.retries import with_retries
from texneg.datasets.storage.url import Url
from texneg.synth.ledger.audit import known_rows
from texneg.synth.ledger.ledger import read_json
from texneg.synth.ledger.manifest import Row
from texneg.synth.ledger.record import Run, load_record
from texneg.synth.plan.plan import Shard, list_names, read_items

SLACK_S = 60.0  # between the clocks of this machine and of a file server
AT_A_TIME = 200  # files of which one thread asks the time

Again = dict[Shard, set[int]]
"""Positions of the images of each shard that are to be made again."""
Hashes = npt.NDArray[np.int64]


@dataclass
class Comparison:
    """The inputs compared with the plan."""

    changed: Again = field(default_factory=dict)
    items: dict[Shard, list[Item]] = field(default_factory=dict)
    """The items of changed shards as they are now."""
    names: list[str] = field(default_factory=list)
    """Of changed inputs."""
    gone: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    """Tars that hold no image any more."""
    broken: list[str] = field(default_factory=list)
    """Tars that break off now, each with the place."""
    new: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def lines(self, *, extendable: bool) -> Iterator[str]:
        """One line for the user about each kind of change."""
        if self.names:
            yield f"inputs that changed, their textures are made again: {list_names(self.names)}"
        if self.gone:
            yield f"inputs that are gone, their textures stay: {list_names(self.gone)}"
        if self.emptied:
            yield f"tars that hold no image any more, their textures stay: {list_names(self.emptied)}"
        if self.new and extendable:
            yield f"inputs that the plan does not know, add them with --extend: {list_names(self.new)}"
        if self.unreadable:
            yield f"inputs that could not be read again, not compared: {list_names(self.unreadable)}"


def compare_inputs(run: Run, source: Source, *, content: bool) -> Comparison:
    """Compare a source with the plan of a run.

    Args:
        run: with a plan.
        source: the inputs as they are now.
        content: compare the bytes of all inputs, instead of those only that a new size or time points to.
    """
    return (_compare_files if source.kind == "folder" else _compare_tars)(run, source, content)


def is_among(wanted: Hashes, values: Hashes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """The place of each hash in sorted values where it is among them, and whether it is."""
    if not len(values):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return places, values[places] == wanted


class _Found:
    """The files of a source by hashes of their names, and of what a plan knows of them."""

    def __init__(self, items: Iterable[Item]) -> None:
        names, states = array("q"), array("q")
        for item in items:
            names.append(hash(_name(item)))
            states.append(_state(item))
        order = np.argsort(np.frombuffer(names, np.int64))
        self._names = np.frombuffer(names, np.int64)[order]
        self._states = np.frombuffer(states, np.int64)[order]
        self._known = np.zeros(len(order), bool)

    def look_up(self, items: list[Item]) -> tuple[list[bool], list[bool]]:
        """For each item of the plan: it is there, and it is there unchanged."""
        names = np.fromiter((hash(_name(item)) for item in items), np.int64)
        places, there = is_among(names, self._names)
        self._known[places[there]] = True
        same = np.zeros(len(items), bool)
        same[there] = self._states[places[there]] == np.fromiter(map(_state, items), np.int64)[there]
        return there.tolist(), same.tolist()

    def unknown(self, items: Iterable[Item]) -> list[str]:
        """Of these items, which are the source walked once more, those that no plan was looked up for."""
        if self._known.all():
            return []
        left = set(self._names[~self._known].tolist())
        return [item.src for item in items if hash(_name(item)) in left]


def _name(item: Item) -> tuple[str, str]:
    return item.split, item.src


def _state(item: Item) -> int:
    return hash((item.size, item.status))


def _compare_files(run: Run, source: Source, content: bool) -> Comparison:
    """Compare the files of class folders with the plan: name, size, then bytes where these are in doubt."""
    found, result = _Found(source.items()), Comparison()
    since = _last_compared(run)
    commits = run.ledger.commits(run.plan.shards)
    for shard, commit in zip(run.plan.shards, commits, strict=True):
        items = read_items(run.plan.folder, shard)
        there, same = found.look_up(items)
        result.gone += [item.src for item, is_there in zip(items, there, strict=True) if not is_there]
        other = {i for i in range(shard.n) if there[i] and not same[i]}
        doubtful = [i for i in range(shard.n) if same[i]]
        if not content:
            doubtful = _newer(source, items, doubtful, since)
        if doubtful:
            rows = known_rows(run.ledger, run.plan, shard, commit)
            other |= _differing(source, items, {i: rows[i] for i in doubtful if i in rows}, result.unreadable)
        if other:
            result.changed[shard] = other
            result.items[shard] = items
            result.names += [items[i].src for i in sorted(other)]
    if run.settings.limit is None:
        result.new = found.unknown(source.items())
    wanted = {_name(result.items[shard][i]) for shard, other in result.changed.items() for i in other}
    now = {_name(item): item for item in (source.items() if wanted else ()) if _name(item) in wanted}
    result.items = {
        shard: [now.get(_name(item), item) for item in items] for shard, items in result.items.items()
    }
    return result


def _compare_tars(run: Run, source: Source, content: bool) -> Comparison:
    """Compare tars with the plan: their names, then their members where these are in doubt.

    Tars that broke off or held no image before are in doubt in every call.
    """
    result = Comparison(broken=source.find_dead_links())
    since = _last_compared(run)
    names = {escape(name): split for split in source.splits for name in source.tars(split)}
    doubtful = {name for name in names if _names(run.plan.source.broken, name)}
    doubtful.update((read_json(run.ledger.sources) or {}).get("emptied", ()))
    commits = run.ledger.commits(run.plan.shards)
    for shard, commit in zip(run.plan.shards, commits, strict=True):
        items = read_items(run.plan.folder, shard)
        name = items[0].path
        if names.pop(name, None) is None:
            result.gone.append(name)
            continue
        if not (content or name in doubtful or _newer(source, items, [0], since)):
            continue
        now = _list_tar(source, shard.split, name, result.broken)
        if not now:
            result.emptied.append(name)
            continue
        if run.settings.limit is not None:
            members = {item.src: item for item in now}
            now = [members.get(item.src, item) for item in items]
        other = now != items
        if not other:
            rows = known_rows(run.ledger, run.plan, shard, commit)
            other = bool(_differing(source, items, rows, result.unreadable))
        if other:
            result.changed[shard] = set(range(shard.n))
            result.items[shard] = now
            result.names.append(name)
    for name, split in names.items():
        if name not in doubtful or _list_tar(source, split, name, result.broken):
            result.new.append(name)
    return result


def _names(broken: list[str], tar: str) -> bool:
    """True if one of these lines, which begin with the path of a tar, is about that one."""
    return any(f"/{unescape(tar)}" in line or line.startswith(unescape(tar)) for line in broken)


def _list_tar(source: Source, split: str, name: str, broken: list[str]) -> list[Item]:
    """The items of a tar as they are now; adds the place to `broken` where it breaks off."""
    [listing] = tar_listings(source.root, split, [unescape(name)], textures=source.textures)
    items = list(listing.items)
    if listing.broken:
        broken.append(listing.broken)
    return items


def _last_compared(run: Run) -> float:
    """The time from which on a change of an input is news."""
    stored = read_json(run.ledger.sources)
    begin = datetime.fromisoformat(load_record(run.ledger).created).timestamp()
    return (stored["compared"] if stored else begin) - SLACK_S


def _newer(source: Source, items: list[Item], wanted: list[int], since: float) -> list[int]:
    """Of these items the ones whose file was written, or put there, since then; none in a store."""
    root = source.root
    if isinstance(root, Url):
        return []
    chunks = [wanted[i : i + AT_A_TIME] for i in range(0, len(wanted), AT_A_TIME)]
    times = map_in_order(lambda chunk: [_changed_at(root / unescape(items[i].path)) for i in chunk], chunks)
    return [
        i
        for chunk, at in zip(chunks, times, strict=True)
        for i, when in zip(chunk, at, strict=True)
        if when > since
    ]


def _changed_at(path: Path) -> float:
    """The time at which a file, or the link to it, was written or put there."""
    try:
        found = [path.lstat(), path.stat()] if path.is_symlink() else [path.stat()]
    except OSError:
        return 0.0
    return max(max(status.st_mtime, status.st_ctime) for status in found)


def _differing(source: Source, items: list[Item], rows: dict[int, Row], unreadable: list[str]) -> set[int]:
    """Positions of the inputs whose bytes are not those of their rows."""
    wanted = [i for i, row in sorted(rows.items()) if row.src_sha256]
    other: set[int] = set()
    with open_reader(parse_place(source.root), [items[i] for i in wanted]) as read:
        for i in wanted:
            try:
                data = with_retries(partial(read, items[i]))
            except OSError:
                unreadable.append(items[i].src)
                continue
            if hashlib.sha256(data).digest() != rows[i].src_sha256:
                other.add(i)
    return other

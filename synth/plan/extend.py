"""Extend a plan by inputs that came later: they become further shards, behind the existing ones."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.errors import InputError
from texneg.synth.plan.plan import (
    Plan,
    Settings,
    list_names,
    output_names,
    plan_file,
    read_items,
    save_plan,
    write_items,
)
from texneg.synth.plan.planning import cut_in_shards, describe


def extend_plan(plan: Plan, settings: Settings, source: Source, shard_size: int) -> Plan:
    """Append the inputs that a plan does not know as further shards. The run keeps its fingerprint.

    Raises:
        InputError: the run is limited, or two inputs would get one output name.
    """
    if settings.limit is not None:
        raise InputError(f"a run with --limit {settings.limit} cannot be extended; leave the limit out")
    strangers = set(source.classes()) - set(plan.source.classes)
    if settings.layout == "paired" and strangers:
        raise InputError(
            f"class folders that the plan does not know: {list_names(sorted(strangers))};"
            " they would change the numbers of others: make a new run for them"
        )
    known = _Known(plan)
    new = cut_in_shards(
        known.unknown(source),
        source,
        settings,
        shard_size,
        file=plan.files,
        first=Counter(shard.split for shard in plan.shards),
        outputs=_outputs(plan, settings),
    )
    shards, _ = write_items(plan_file(plan.folder, plan.files), new)
    if not shards:
        plan_file(plan.folder, plan.files).unlink()
        return plan
    plan = replace(
        plan,
        shards=(*plan.shards, *shards),
        images=plan.images + sum(shard.n for shard in shards),
        files=plan.files + 1,
        source=describe(source, plan.source.classes),
    )
    save_plan(plan)
    return plan


def same_inputs(plan: Plan, source: Source) -> bool:
    """True if a source holds exactly the images that an unlimited plan lists, in any order."""
    known = _Known(plan)
    new = sum(1 for _ in known.unknown(source))
    return not (new or known.changed or known.left)


class _Known:
    """The items of a plan by a hash of their names, which keeps a million of them small."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tars = plan.source.kind == "webdataset"
        self.left: dict[bytes, tuple[int, int]] = {}
        """Size and offset of each item that the source has not shown yet."""
        self.changed: list[str] = []
        self._paths: set[str] = set()
        for item in self._items():
            self.left.setdefault(_name(item), (item.size, item.offset))
            if self._tars:
                self._paths.add(item.path)

    def _items(self) -> Iterator[Item]:
        for shard in self._plan.shards:
            yield from read_items(self._plan.folder, shard)

    def unknown(self, source: Source) -> Iterator[Item]:
        """Yield items that the plan lacks; a new member of a known tar counts as a change of that tar."""
        seen: set[bytes] = set()
        for item in source.items(unique=True):
            name = _name(item)
            if name in seen:
                continue
            was = self.left.pop(name, None)
            if was is not None:
                seen.add(name)
                if was != (item.size, item.offset):
                    self.changed.append(item.src)
            elif item.path in self._paths:
                self.changed.append(item.src)
            else:
                yield item


def _name(item: Item) -> bytes:
    return blake2b(f"{item.split}\0{item.src}".encode(), digest_size=12).digest()


def _outputs(plan: Plan, settings: Settings) -> Iterator[str]:
    """Names of files that the textures of tars have in class folders."""
    if plan.source.kind != "webdataset" or settings.format != "folder":
        return
    for shard in plan.shards:
        yield from output_names(plan, shard, settings)

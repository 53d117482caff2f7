"""Inputs that came after the plan was made: appended as shards of their own, behind those that there are."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.errors import InputError
from texneg.synth.config import SynthConfig
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Plan, output_names, plan_file, read_items, save_plan, write_items
from texneg.synth.plan.planning import cut_in_shards

SHOWN = 5


@dataclass(frozen=True)
class Differences:
    """How a source differs from a plan."""

    changed: list[str]
    """Inputs of another size or place than when the plan was made."""
    vanished: list[str]
    new: int

    def lines(self) -> list[str]:
        """What to tell about it."""
        changed = f"changed since the plan was made, their textures stay: {_some(self.changed)}"
        vanished = f"gone since the plan was made, their textures stay: {_some(self.vanished)}"
        return [line for line, names in ((changed, self.changed), (vanished, self.vanished)) if names]


def extended(config: SynthConfig, run: Run, source: Source) -> tuple[Run, Differences]:
    """The run with the inputs that its plan does not know, as further shards. Its fingerprint stays.

    Raises:
        InputError: the run is limited, or two inputs would get one output name.
    """
    if run.settings.limit is not None:
        raise InputError(f"a run with --limit {run.settings.limit} cannot be extended; leave the limit out")
    plan = run.plan
    strangers = set(source.classes()) - set(plan.source.get("classes", []))
    if run.settings.layout == "paired" and strangers:
        raise InputError(
            f"class folders that the plan does not know: {_some(sorted(strangers))};"
            " they would change the numbers of others: make a new run for them"
        )
    known = _Known(plan)
    first = Counter(shard.split for shard in plan.shards)
    runs = cut_in_shards(
        known.unknown(source),
        source,
        run.settings,
        config.shard_size,
        file=plan.files,
        first=first,
        outputs=_outputs(run),
    )
    shards, _ = write_items(plan_file(plan.folder, plan.files), runs)
    differences = known.differences(sum(shard.n for shard in shards))
    if not shards:
        plan_file(plan.folder, plan.files).unlink()
        return run, differences
    plan = replace(
        plan,
        shards=(*plan.shards, *shards),
        images=plan.images + differences.new,
        files=plan.files + 1,
        source={
            **plan.source,
            "skipped": dict(sorted(source.skipped.items())),
            "broken": list(source.broken),
        },
    )
    save_plan(plan)
    return replace(run, plan=plan), differences


def same_inputs(plan: Plan, source: Source) -> bool:
    """Whether a source holds exactly what an unlimited plan lists, in whatever order."""
    known = _Known(plan)
    new = sum(1 for _ in known.unknown(source))
    return not (new or known.changed or known.left)


class _Known:
    """The items of a plan by a hash of their names, which keeps a million of them small."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tars = plan.source["kind"] == "webdataset"
        self.left: dict[bytes, tuple[int, int]] = {}
        """Size and offset of each item that was not met again."""
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
        """Items of the source that the plan has not; a new member of a known tar is a change of that tar."""
        met: set[bytes] = set()
        for item in source.items(unique=True):
            name = _name(item)
            if name in met:
                continue
            was = self.left.pop(name, None)
            if was is not None:
                met.add(name)
                if was != (item.size, item.offset):
                    self.changed.append(item.src)
            elif item.path in self._paths:
                self.changed.append(item.src)
            else:
                yield item

    def differences(self, new: int) -> Differences:
        """What was found, once the source was walked."""
        vanished = [item.src for item in self._items() if _name(item) in self.left] if self.left else []
        return Differences(self.changed, vanished, new)


def _name(item: Item) -> bytes:
    return blake2b(f"{item.split}\0{item.src}".encode(), digest_size=12).digest()


def _outputs(run: Run) -> Iterator[str]:
    """Names of files that the textures of tars have in class folders."""
    if run.plan.source["kind"] != "webdataset" or run.settings.format != "folder":
        return
    for shard in run.plan.shards:
        yield from output_names(run.plan, shard, run.settings)


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"

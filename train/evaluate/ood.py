"""`texneg ood`: one encoder with one or more heads on named test sets of every kind, resumable cell by cell.

The output folder holds `cells.jsonl` (one line for each finished cell, appended, never rewritten), `ood.json`
(all finished sets of this encoder and its heads) and `outcomes/*.npz` (every image, for paired comparisons).
A cell is measured again only when the weights, the head, its images, its options or the protocol changed.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path

from texneg import __version__
from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.cli.main import parse
from texneg.datasets.fingerprint import fingerprint, sample_fingerprint
from texneg.datasets.storage.arrays import read_arrays
from texneg.datasets.storage.json_files import append_json_line, read_json, write_json
from texneg.datasets.storage.places import parse_place, require_folder
from texneg.errors import InputError, RunFailed
from texneg.train.data.splits import open_test
from texneg.train.evaluate.cells import (
    CELLS,
    PROTOCOL,
    RESULT,
    Record,
    get_content,
    hash_fields,
    join_cells,
    join_sets,
    list_commands,
    read_cells,
    remove_set,
    require_other_images,
)
from texneg.train.evaluate.class_space import NothingShared, find_class_map
from texneg.train.evaluate.features import (
    Bad,
    Encoder,
    Features,
    describe_encoder,
    describe_unreadable,
    open_encoder,
)
from texneg.train.evaluate.linear import find_head, head_file, load_head
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.base import Cell, ProbedEncoder, SetKind
from texneg.train.networks.imported import Foreign


@dataclass(frozen=True)
class OodOptions:
    """Test one encoder with its heads on named sets of images."""

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
    out: str
    """run folder for ood.json"""
    head: tuple[str, ...] = ()
    """heads of texneg probe on the same checkpoint, by file or by --name; own: the classifier of a model of
    ImageNet's classes; without it, head.pt in --out. Each is tested on every set"""
    remove: tuple[str, ...] = ()
    """names of measured sets to take out of the results, of all heads"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    cache: str | None = None
    """folder that keeps features between calls"""
    bad: Bad = "wrong"
    """an image that cannot be read: counts as wrong, is left out (skip), or ends its set's test (error)"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""
    foreign: Foreign = Foreign()


@dataclass(frozen=True)
class OodConfig(OodOptions):
    """An encoder, a head, and the sets to test them on."""

    kinds: tuple[SetKind, ...] = ()
    """the sets, kind by kind"""


def ood(config: OodConfig) -> int:
    """Measure every cell that is not finished, then write ood.json.

    Raises:
        RunFailed: naming the cells that could not be measured; the others are finished.
    """
    require_folder(config.out, "--out")
    if config.cache:
        require_folder(config.cache, "--cache")
    if config.batch < 1:
        raise InputError(f"--batch {config.batch}: at least 1 image")
    sets = [(kind, cells) for kind in config.kinds for cells in group_cells(kind)]
    for cell in (cell for _, cells in sets for cell in cells):
        if not parse_place(cell.path).exists():
            raise InputError(f"set {cell.name!r}: {cell.path} does not exist; give its folder or .tar")
    if not sets and not config.remove:
        raise InputError("no test set given; name one or more: --sets sketch=/data/sketch")
    for name in config.remove:
        remove_set(Path(config.out), name)
        console.out(f"{name}: removed from {Path(config.out) / 'ood.json'}")
    if sets:
        encoder = open_encoder(config.checkpoint, config.device, config.foreign)
        measure_sets(Path(config.out), sets, open_heads(config, encoder))
    return 0


def open_heads(config: OodConfig, encoder: Encoder) -> list[ProbedEncoder]:
    """Open the heads that were asked for.

    Raises:
        InputError: there is none, it belongs to another encoder, or two have the same name.
    """
    found = [find_head(text, config.out) for text in config.head or (str(head_file(config.out, "")),)]
    if len(dict(found)) < len(found):
        raise InputError(
            f"--head {' '.join(config.head)}: two heads of one name; give their files other names"
        )
    memo: dict[Hashable, Features] = {}
    return [
        ProbedEncoder(
            encoder,
            load_head(path, encoder),
            batch=config.batch,
            cache=config.cache,
            bad=config.bad,
            allow_truncated=config.allow_truncated,
            name=name,
            memo=memo,
        )
        for name, path in found
    ]


def read_command(words: list[str]) -> OodConfig:
    """Parse a command line, whose flags are those of `OodOptions` and of every kind in the table."""
    parts = [(kind.__name__, kind, field(default_factory=kind)) for kind in KINDS]
    flags = make_dataclass(
        "OodFlags", parts, bases=(OodOptions,), frozen=True, namespace={"__doc__": OodOptions.__doc__}
    )
    values = dict(vars(parse(flags, "ood", words)))
    return OodConfig(kinds=tuple(values.pop(name) for name, _, _ in parts), **values)


def group_cells(kind: SetKind) -> list[list[Cell]]:
    """The cells of each set of a kind."""
    sets: dict[str, list[Cell]] = {}
    for cell in kind.cells():
        sets.setdefault(cell.name, []).append(cell)
    return list(sets.values())


def measure_sets(
    out: Path, sets: Sequence[tuple[SetKind, Sequence[Cell]]], heads: Sequence[ProbedEncoder]
) -> Record:
    """Measure the cells without a finished line; returns and writes what ood.json holds.

    Raises:
        RunFailed: after all others are measured and written, if a cell could not be measured.
    """
    finished, failed, total = read_cells(out / CELLS), list[str](), 0
    for kind, cells in sets:
        for probed in heads:
            records = []
            total += len(cells)
            with_head = f" with head {probed.name}" if len(heads) > 1 else ""
            for cell in cells:
                try:
                    record = measure_cell(out, kind, cell, probed, finished, parts=len(cells))
                except (InputError, OSError) as error:
                    forget_cell(finished, kind, cell, probed)
                    if isinstance(error, NothingShared) and len(heads) > 1:
                        console.info(f"set {cell.name!r} shares no class with head {probed.name}: not tested")
                        total -= 1
                        continue
                    part = f" {cell.part}" if cell.part else ""
                    failed.append(f"set {cell.name!r}{part} ({cell.path}){with_head}: {error}")
                    continue
                finished.pop(record["cell"], None)  # the latest of a name stands last
                finished[record["cell"]] = record
                records.append(record)
            if len(records) == len(cells):
                whole = join_cells(type(kind), records)
                head = f"[{probed.name or 'head'}] " if len(heads) > 1 else ""
                notes = describe_unreadable(whole["unreadable"], probed.bad)
                notes += (
                    "; these are the images that the head was fitted on" if whole.get("fitted_on") else ""
                )
                console.out(f"{head}{kind.summary(whole)}{notes}")
    encoder = heads[0].encoder
    mine, earlier = choose_current(out, list(finished.values()), heads)
    if earlier:
        console.info(
            f"left out of ood.json, for their images were cut otherwise by an earlier version:"
            f" {', '.join(earlier)}; give these sets once more"
        )
    result = {
        "protocol": PROTOCOL,
        **describe_encoder(encoder),
        "encoder": encoder.fingerprint,
        "heads": [
            {"name": one.name, "head": one.weights["head"], "classes": list(one.head.classes)}
            for one in heads
        ],
        "sets": join_sets(mine, [*KINDS, *(type(kind) for kind, _ in sets)]),
        "commands": list_commands(out / RESULT),
        "version": __version__,
    }
    write_json(out / RESULT, result)
    if failed:
        raise RunFailed(
            f"{len(failed)} of {total} could not be measured"
            f" (what is finished is in {out / RESULT}): {'; '.join(failed)}"
        )
    return result


def choose_current(
    out: Path, records: Sequence[Record], heads: Sequence[ProbedEncoder]
) -> tuple[list[Record], list[str]]:
    """Choose the records of this encoder and its heads as they are now; name sets of earlier versions."""
    now = {one.name: one.weights["head"] for one in heads}
    for path in out.glob("probe*.json"):
        found = read_json(path)
        now.setdefault(found.get("name", ""), str(found.get("head")))
    encoder = heads[0].weights["encoder"]
    mine = [
        record
        for record in records
        if record["encoder"] == encoder
        and record["head"] == now.get(record.get("head_name", ""), record["head"])
    ]
    there = {(record["head"], record["name"]) for record in mine if "transform" in record}
    lost = [record for record in mine if "transform" not in record]
    names = dict.fromkeys(record["name"] for record in lost if (record["head"], record["name"]) not in there)
    return [record for record in mine if "transform" in record], list(names)


def forget_cell(finished: dict[str, Record], kind: SetKind, cell: Cell, probed: ProbedEncoder) -> None:
    """Drop the earlier records of a cell that cannot be measured any more: they are of other images."""
    part = {"part": cell.part} if cell.part else {}
    own = {**probed.weights, "kind": kind.name, "name": cell.name, **part}
    for name in [name for name, record in finished.items() if record.items() >= own.items()]:
        del finished[name]


def measure_cell(
    out: Path, kind: SetKind, cell: Cell, probed: ProbedEncoder, finished: dict[str, Record], *, parts: int
) -> Record:
    """The record of a cell: that of a finished line, where nothing that decides it changed, or a new line.

    `parts` is the number of cells of its set.
    """
    images = replace(open_test(cell.path), allow_truncated=probed.allow_truncated)
    data = fingerprint(images, out)
    part = {"part": cell.part} if cell.part else {}
    reading = {"bad": probed.bad, "allow_truncated": probed.allow_truncated}
    options = cell.options | ({} if cell.train is None else {"train": fingerprint(cell.train, out)})
    if declared := find_class_map(cell.classes, cell.name, images):
        options |= {"classes": declared.fingerprint}
    transform = probed.preprocessing(ready_cut=cell.ready_cut).transform
    decisive = {
        "data": data, "kind": kind.name, "name": cell.name, **part, **reading, **options,
        "transform": transform,
    }  # fmt: skip
    name = hash_fields(**probed.weights, **decisive)
    record = finished.get(name)
    fitted = bool(probed.head.data) and get_content(sample_fingerprint(images)) == get_content(
        probed.head.data
    )
    told = {"in_distribution": cell.in_distribution, "head_name": probed.name, "fitted_on": fitted}
    if record and told["in_distribution"] and not record["in_distribution"]:
        record = None  # answers of such a set are kept in more detail
    if record and record.get("parts", 1) == parts and read_arrays(out / record["outcomes"]):
        if record.items() >= told.items():
            return record
        record = record | told
        append_json_line(out / CELLS, record)
        return record
    require_other_images(
        finished.values(), {**probed.weights, "kind": kind.name, **part, "options": options}, cell, data
    )
    found = kind.measure(cell, images, probed)
    outcomes = f"outcomes/{name[:16]}.npz"
    save_outcomes(out / outcomes, found.keys, found.values, found.answers)
    record = {
        **found.numbers, **probed.weights, **told, **part, **({"parts": parts} if part else {}), **reading,
        "unreadable": probed.unreadable.get(images.root, 0),
        "cell": name, "kind": kind.name, "name": cell.name, "path": cell.path, "data": data,
        "outcomes": outcomes, "options": options, "transform": transform, "version": __version__,
    }  # fmt: skip
    append_json_line(out / CELLS, record)
    return record

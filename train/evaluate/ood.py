"""`texneg ood`: one encoder with one or more heads on named test sets of every kind, resumable cell by cell.

`--list` prints the sets that are known by name, and needs no encoder. The measurements are in `measuring.py`.
"""

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.cli.main import parse
from texneg.datasets.catalogue.recognise import recognise
from texneg.datasets.catalogue.table import list_known
from texneg.datasets.storage.places import parse_place, require_folder
from texneg.errors import InputError
from texneg.train.evaluate.cells import remove_set
from texneg.train.evaluate.encoders import Encoder, open_encoder
from texneg.train.evaluate.features import Bad
from texneg.train.evaluate.linear import find_head, head_file, load_head
from texneg.train.evaluate.measuring import CellSet, measure_sets
from texneg.train.evaluate.memo import Memo
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.base import Cell, ProbedEncoder, SetKind
from texneg.train.evaluate.sets.published import divide
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
    list: tuple[str, ...] = ()
    """print the known test sets and what is found of them in these folders, and do nothing else: needs no
    checkpoint, and no folder either"""
    foreign: Foreign = Foreign()


@dataclass(frozen=True)
class OodConfig(OodOptions):
    """An encoder, a head, and the sets to test them on."""

    kinds: tuple[SetKind, ...] = ()
    """the sets, kind by kind"""


@dataclass(frozen=True)
class ListConfig:
    """List the known test sets, and what is found of them on disk."""

    list: tuple[str, ...] = ()
    """folders to look through"""


def ood(config: OodConfig | ListConfig) -> int:
    """Measure every cell that is not finished, then write ood.json; or list the known sets.

    Raises:
        RunFailed: naming the cells that could not be measured; the others are finished.
    """
    if isinstance(config, ListConfig):
        found = [one for path in config.list for one in recognise(path)] if config.list else None
        for line in list_known(found):
            console.out(line)
        return 0
    require_folder(config.out, "--out")
    if config.cache:
        require_folder(config.cache, "--cache")
    if config.batch < 1:
        raise InputError(f"--batch {config.batch}: at least 1 image")
    sets = [one for kind in config.kinds for part in divide(kind) for one in group_cells(part)]
    for cell in (cell for one in sets for cell in one.cells):
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
    memo = Memo()
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


def read_command(words: list[str]) -> OodConfig | ListConfig:
    """Parse a command line, whose flags are those of `OodOptions` and of every kind in the table."""
    if "--list" in words:
        listed: ListConfig = parse(ListConfig, "ood", words)
        return listed
    parts = [(kind.__name__, kind, field(default_factory=kind)) for kind in KINDS]
    flags = make_dataclass(
        "OodFlags", parts, bases=(OodOptions,), frozen=True, namespace={"__doc__": OodOptions.__doc__}
    )
    values = dict(vars(parse(flags, "ood", words)))
    return OodConfig(kinds=tuple(values.pop(name) for name, _, _ in parts), **values)


def group_cells(kind: SetKind) -> list[CellSet]:
    """Group the cells of a kind by their sets."""
    sets: dict[str, list[Cell]] = {}
    for cell in kind.cells():
        sets.setdefault(cell.name, []).append(cell)
    return [CellSet(kind, tuple(cells)) for cells in sets.values()]

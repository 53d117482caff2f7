"""Accuracy on images that are corrupted on the fly: one set with a cell for each corruption and severity.

The crop is what is corrupted, as for the published files, and re-encoded as JPEG of quality 85, as they are:
that removes much of the noise, so that numbers with and without it are not to be mixed. An image's noise is a
function of the seed, the corruption, the severity and the image's key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal

from texneg.cli.console import plural
from texneg.datasets.corruptions.corrupt import (
    EXTRA,
    VERSION,
    choose_corruptions,
    choose_severities,
    corrupt,
    require_quality,
)
from texneg.datasets.corruptions.digital import reencode
from texneg.datasets.corruptions.draws import image_draws
from texneg.datasets.corruptions.pictures import own_pictures, read_pictures
from texneg.datasets.corruptions.severities import SEVERITIES, SIDES, Constants, nearest_constants
from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.evaluate.class_space import HEAD, describe_left_out
from texneg.train.evaluate.features import U8, Edit
from texneg.train.evaluate.sets.accuracy import check_images, measure_images
from texneg.train.evaluate.sets.base import (
    ArmResult,
    Cell,
    Measurement,
    ProbedEncoder,
    Record,
    SetKind,
    parse_paths,
    require_known,
)


@dataclass(frozen=True)
class Corruptions(SetKind):
    """Accuracy on corrupted versions of a set, over the classes that it shares with the head."""

    corrupt: tuple[str, ...] = ()
    """sets to corrupt, as NAME=PATH"""
    corruptions: tuple[str, ...] = ("all",)
    """all (the fifteen of mCE), extra (the four others), or names such as fog"""
    severities: tuple[int, ...] = SEVERITIES
    """of the corruptions, 1 to 5"""
    constants: Literal[Constants, "nearest"] = "nearest"
    """data set whose constants are taken: those of the nearest image size, or a named one"""
    jpeg_quality: int = 85
    """JPEG that follows the corruption, as in the published files; 0 for none"""
    frost_dir: str | None = None
    """folder of the published pictures of frost (frost1.png ...); without it they are drawn by texneg"""
    corruption_seed: int = 0
    """seed of the corruptions"""
    corrupt_classes: tuple[str, ...] = ()
    """class maps of these sets as NAME=MAP, as for --classes"""
    corrupt_leave_out: bool = False
    """leave out images of these sets in unknown class folders, as --leave-out does"""

    name: ClassVar[str] = "corruptions"
    note: ClassVar[str] = "mean over corruptions and severities"

    def cells(self) -> Iterator[Cell]:
        """One for each corruption and severity of each set."""
        sets = parse_paths(self.corrupt, "--corrupt")
        maps = parse_paths(self.corrupt_classes, "--corrupt-classes")
        require_known(tuple(maps), sets, "--corrupt-classes")
        if not sets and self != type(self)():
            raise InputError("nothing to corrupt: name the images, --corrupt photos=/data/photos")
        names, severities = choose_corruptions(self.corruptions), choose_severities(self.severities)
        require_quality(self.jpeg_quality)
        for set_name, path in sets.items():
            for name in names:
                frost = self._frost_fingerprint() if name == "frost" else None
                for severity in severities:
                    options = {
                        "corruption": name,
                        "severity": severity,
                        "constants": self.constants,
                        "jpeg_quality": self.jpeg_quality,
                        "frost": frost,
                        "seed": self.corruption_seed,
                        "version": VERSION,
                    }
                    part, classes = f"{name}-{severity}", maps.get(set_name)
                    yield Cell(set_name, path, part=part, options=options, classes=classes)

    def _frost_fingerprint(self) -> str:
        return f"folder {read_pictures(self.frost_dir).fingerprint}" if self.frost_dir else "texneg"

    @property
    def leaves_out(self) -> bool:
        """Leave out images in unknown class folders."""
        return self.corrupt_leave_out

    def check(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> None:
        """Refuse class folders that cannot be used."""
        check_images(cell, images, probed, leave_out=self.leaves_out)

    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Masked and unmasked accuracy."""
        name, severity = cell.options["corruption"], cell.options["severity"]
        side = probed.encoder.image_size
        constants = nearest_constants(side) if self.constants == "nearest" else self.constants
        frost_dir, quality, seed = self.frost_dir, self.jpeg_quality, self.corruption_seed

        def edit(crop: U8, key: str) -> U8:
            pictures = (lambda: read_pictures(frost_dir)) if frost_dir else own_pictures
            draws = image_draws(seed, name, severity, key, pictures)
            changed = corrupt(crop, name, severity=severity, draws=draws, constants=constants)
            return reencode(changed, quality) if quality else changed

        identity = repr(sorted((cell.options | {"constants": constants}).items(), key=lambda item: item[0]))
        found = measure_images(cell, images, probed, leave_out=self.leaves_out, edit=Edit(identity, edit))
        found.numbers["constants"] = constants
        found.numbers["published_size"] = side == SIDES[constants]
        return found

    @classmethod
    def value(cls, record: Record) -> float | None:
        """Masked accuracy of a cell; of a set the mean over its cells."""
        return float(record["masked"]["accuracy"] if "masked" in record else record["value"])

    @classmethod
    def headline(cls, cells: Sequence[Record]) -> dict[str, Any]:
        """Mean over the cells, masked and unmasked, and the mean over the severities of each corruption.

        The extra four are no part of the mean, unless there are no others.
        """
        by_name: dict[str, list[float]] = {}
        for cell in cells:
            by_name.setdefault(cell["options"]["corruption"], []).append(cell["masked"]["accuracy"])
        first = cells[0]
        counted = [cell for cell in cells if cell["options"]["corruption"] not in EXTRA] or cells
        return {
            **super().headline(counted),
            "n_most": max(cell["n"] for cell in cells),
            "counted": len(counted),
            "unmasked_mean": fmean(cell["unmasked"]["accuracy"] for cell in counted),
            "by_corruption": {name: fmean(values) for name, values in by_name.items()},
            **{name: first[name] for name in ("declared", "choices", "head_classes", "present", "left_out")},
            "files": bool(first["options"].get("files")),
            **({} if first["options"].get("files") else _describe_making(cells)),
        }

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """Unmasked accuracy, mean over runs, and how the images were made."""
        made = {name_making(record) for record in records}
        unmasked = fmean(record["unmasked_mean"] for record in records)
        return {"unmasked": unmasked, "made": " or ".join(sorted(made))}

    @classmethod
    def remarks(cls, shown: ArmResult) -> list[str]:
        """Origin of the images: numbers of files and of corruptions on the fly are not to be mixed."""
        return [str(shown.details["made"])]

    @classmethod
    def summary(cls, record: Record) -> str:
        """Lines for the terminal: the mean, how it was made, and each corruption."""
        extra = len(record["cells"]) - record["counted"]
        beside = f" ({extra} more of extra corruptions stand beside it)" if extra else ""
        declared = "" if record["declared"] == HEAD else f" of {record['declared']}"
        some = f", images of {record['present']} of them" if record["present"] < record["classes"] else ""
        space = f"{record['classes']} classes{declared}{some}"
        unequal = f"{record['n']} to {record['n_most']}" if record["n_most"] > record["n"] else record["n"]
        cells = f"{plural(record['counted'], 'cell')}{beside}"
        lines = [
            f"{record['name']}: {100 * record['value']:.1f} % over {cells} of {unequal} images in {space}"
            f" (chance {100 * record['chance']:.1f} %), unmasked {100 * record['unmasked_mean']:.1f} %;"
            f" {_describe_all_making(record)}{describe_left_out(record['left_out'])}"
        ]
        for name, value in record["by_corruption"].items():
            note = ", not in the mean" if extra and name in EXTRA else ""
            lines.append(f"  {name:<18}{100 * value:5.1f} %{note}")
        return "\n".join(lines)


def name_making(record: Record) -> str:
    """Name in a few words how the images of a set were made, and of how many cells the mean is."""
    cells = plural(record.get("counted", len(record["cells"])), "cell")
    return f"{cells} {name_origin(record)}"


def name_origin(record: Record) -> str:
    """Name where the images of a set came from: published files, or made on the fly with which JPEG."""
    return "from files" if record.get("files") else f"on the fly, {_name_jpeg(record)}"


def _name_jpeg(record: Record) -> str:
    return f"JPEG {record['jpeg_quality']}" if record["jpeg_quality"] else "no JPEG"


def _describe_all_making(record: Record) -> str:
    """Describe in full how the images of a set were made."""
    if record.get("files"):
        return "read from files"
    other = "" if record["published_size"] else ", which are for another image size"
    made = [
        f"{_name_jpeg(record)} after it",
        f"constants of {record['constants']}{other}",
        *(["frost drawn by texneg"] if record["own_frost"] else []),
    ]
    return f"corrupted on the fly: {', '.join(made)}"


def _describe_making(cells: Sequence[Record]) -> dict[str, Any]:
    """Collect what decided the pixels of corruptions made on the fly."""
    first = cells[0]
    return {
        "constants": first["constants"],
        "published_size": first["published_size"],
        "jpeg_quality": first["options"]["jpeg_quality"],
        "own_frost": any(cell["options"]["frost"] == "texneg" for cell in cells),
    }

"""Answers of people to the images of a set, from the published files of their trials.

The files are those of model-vs-human (Geirhos et al., "Partial success in closing the gap between human and
machine vision", NeurIPS 2021): a folder for each set, in it a CSV for each observer and session, with the
columns subj, session, trial, rt, object_response, category, condition, imagename. People are called
subject-01 and so on; other observers are models, which are passed over. A response na counts as wrong.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from texneg.errors import InputError
from texneg.train.report.metrics.base import read_csv

NEEDED = ("subj", "object_response", "category", "imagename")
PERSON = "subject"
_WORDNET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Trial:
    """One answer of one person."""

    subject: str
    condition: str
    image: str
    """name without suffix and without what the experiment put before it"""
    category: str
    response: str


@dataclass(frozen=True)
class Trials:
    """Trials of people on one set."""

    name: str
    """of the folder"""
    trials: tuple[Trial, ...]

    def restrict(self, images: Sequence[str], name: str) -> dict[str, dict[str, dict[str, Trial]]]:
        """Trials on some images, by condition, subject and image.

        Raises:
            InputError: an image of the set `name` was shown in several conditions, or twice.
        """
        wanted = set(images)
        found: dict[str, dict[str, dict[str, Trial]]] = defaultdict(lambda: defaultdict(dict))
        conditions: dict[str, str] = {}
        for one in self.trials:
            if one.image not in wanted:
                continue
            twice = one.image in found[one.condition][one.subject]
            if twice or conditions.setdefault(one.image, one.condition) != one.condition:
                raise InputError(
                    f"--human {self.name}: {one.image} was shown in several conditions, or twice to one"
                    f" person; keep the trials of the condition that the images of {name!r} are of"
                )
            found[one.condition][one.subject][one.image] = one
        return {condition: dict(people) for condition, people in found.items() if people}


def shorten(name: str) -> str:
    """Shorten the name of an image to that of the stimulus: no folder, suffix or prefix of an experiment."""
    parts = PurePosixPath(name).name.split("_")
    if len(parts) > 1 and _WORDNET.fullmatch(parts[-2]):
        return "_".join(parts[-2:])
    return parts[-1]


def read_people(folder: Path) -> Trials:
    """Read the trials of people from the CSV files of a folder.

    Raises:
        InputError: a file is not of this kind, or no trial is of a person.
    """
    trials: list[Trial] = []
    for path in sorted(folder.glob("*.csv")):
        first, *rows = read_csv(path, "--human") or [[]]
        columns = [name.strip().lower() for name in first]
        if missing := [name for name in NEEDED if name not in columns]:
            raise InputError(
                f"--human {path}: no column {', '.join(missing)}; give files as model-vs-human has them"
            )
        for row in rows:
            cells = dict(zip(columns, row, strict=False))
            if cells["subj"].startswith(PERSON):
                image = shorten(PurePosixPath(cells["imagename"]).stem)
                told = cells["category"], cells["object_response"]
                trials.append(Trial(cells["subj"], cells.get("condition", ""), image, *told))
    if not trials:
        raise InputError(f"--human {folder}: no trial of a person (subject-01, ...) in its CSV files")
    return Trials(folder.name, tuple(trials))


def read_humans(texts: Sequence[str], sets: Sequence[str]) -> dict[str, Trials]:
    """Read the trials of people for sets of a report, by the names of the sets.

    Args:
        texts: folders, or SET=FOLDER. A folder of folders stands for each of them; one without SET belongs to
            the sets whose name holds its own, or is held by it (edge and edges).
        sets: their names.

    Raises:
        InputError: no such folder or set, or nothing for any set.
    """
    found: dict[str, Trials] = {}
    for text in texts:
        name, _, path = text.rpartition("=")
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"--human {text}: no such folder; give raw-data/cue-conflict of model-vs-human")
        if name and name not in sets:
            raise InputError(f"--human {text}: no set {name!r}; the sets are {', '.join(sets) or 'none'}")
        if name:
            found[name] = read_people(folder)
            continue
        inner = [one for one in sorted(folder.iterdir()) if one.is_dir()]
        for place in [folder] if any(folder.glob("*.csv")) else inner:
            fitting = [one for one in sets if is_alike(one, place.name)]
            if fitting:
                found |= dict.fromkeys(fitting, read_people(place))
    if texts and not found:
        raise InputError(
            f"--human {' '.join(texts)}: no folder with the name of a set ({', '.join(sets) or 'none'});"
            " say which it is: --human SET=FOLDER"
        )
    return found


def is_alike(one: str, other: str) -> bool:
    """Return True if one name holds the other, but for case and signs."""
    a, b = ("".join(filter(str.isalnum, name.casefold())) for name in (one, other))
    return bool(a and b) and (a in b or b in a)


@dataclass(frozen=True)
class HumanShapeBias:
    """Shape bias of people on the images of a cue-conflict set that count for the head."""

    subjects: Mapping[str, float]
    """by person; those who named neither cue are left out"""
    by_category: Mapping[str, Mapping[str, float]]
    """by category of the shape, then by person"""
    n: int
    """images of the set that people saw"""

    @property
    def low(self) -> float:
        """The smallest of a person."""
        return min(self.subjects.values())

    @property
    def high(self) -> float:
        """The largest of a person."""
        return max(self.subjects.values())


def measure_human_bias(
    people: Mapping[str, Mapping[str, Mapping[str, Trial]]],
) -> HumanShapeBias | None:
    """Measure the shape bias of each person; None where nobody named a cue.

    Args:
        people: trials on images whose cues differ, as `Trials.restrict` gives them.
    """
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    images = set()
    for by_subject in people.values():
        for subject, by_image in by_subject.items():
            for image, trial in by_image.items():
                images.add(image)
                texture = image.rpartition("-")[2].rstrip("0123456789")
                told = counts[trial.category][subject]
                told[0] += trial.response == trial.category
                told[1] += trial.response == texture
    by_category = {
        category: {subject: a / (a + b) for subject, (a, b) in of.items() if a + b}
        for category, of in counts.items()
    }
    names = sorted({subject for of in counts.values() for subject in of})
    total = {
        name: [sum(of[name][cue] for of in counts.values() if name in of) for cue in (0, 1)] for name in names
    }
    subjects = {name: a / (a + b) for name, (a, b) in total.items() if a + b}
    return HumanShapeBias(subjects, by_category, len(images)) if subjects else None

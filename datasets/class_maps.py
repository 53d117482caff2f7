"""Class maps: the class folders of a set, declared, and the names that classifiers have for their classes.

A map is a JSON object {folder: [names]}, or a text file with a name a line whose folders are named like the
classes. It leads from any set's folders to any head's classes: a folder means those of its names that the
head knows, else the class of its own name. It also leads back, from the names to the folders.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from texneg.datasets.images import ImageSet
from texneg.datasets.sources.folders import list_own
from texneg.datasets.storage.json_files import read_json
from texneg.datasets.storage.places import parse_place
from texneg.errors import InputError

HERE = Path(__file__).parent / "classes"
NUMBERED = "imagenet-v2"  # folders 0 ... 999 stand for the classes of ImageNet in their order
SHIPPED = (*sorted(path.stem for path in HERE.iterdir()), NUMBERED)
FOLDERS = "folders"  # in place of a map: the class folders that are there
OBJECTNET = "objectnet_to_imagenet_1k.json"  # in the folder mappings/ of the archive


@dataclass(frozen=True)
class ClassMap:
    """Declared class folders of a set, and other names of their classes."""

    name: str
    """as it was given"""
    folders: Mapping[str, tuple[str, ...]]
    """names by folder"""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of folders and names."""
        lines = (f"{folder}\0{chr(0).join(names)}\n" for folder, names in sorted(self.folders.items()))
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def turn(self, folders: Sequence[str]) -> "ClassMap":
        """Return the map from names to folders where a set has folders of these names alone."""
        names: dict[str, tuple[str, ...]] = {}
        for folder, group in self.folders.items():
            for name in group:
                names[name] = (*names.get(name, ()), folder)
        if any(folder in self.folders for folder in folders) or not any(one in names for one in folders):
            return self
        return ClassMap(self.name, names)

    def lead(self, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Return the places of each folder's classes among those of a head; none where it lacks them."""
        place = {name: index for index, name in enumerate(classes)}
        groups = {}
        for folder, names in self.folders.items():
            known = tuple(dict.fromkeys(place[name] for name in names if name in place))
            groups[folder] = known or ((place[folder],) if folder in place else ())
        return groups


def read_class_map(text: str) -> ClassMap:
    """Read a map that comes with texneg, a file, or the folder `mappings` of a copy of ObjectNet.

    Raises:
        InputError: there is none of this name, or it holds something else.
    """
    path = Path(text)
    if text in SHIPPED:
        return read_shipped(text)
    if (path / OBJECTNET).is_file():
        return ClassMap(text, read_objectnet(path))
    if not path.is_file():
        raise InputError(
            f"no class map {text!r}; give a JSON file {{folder: [classes]}}, a text file with a class a line,"
            f" the folder mappings of ObjectNet, or one of: {', '.join(SHIPPED)}"
        )
    if path.suffix == ".json":
        return ClassMap(text, read_groups(path))
    return ClassMap(text, dict.fromkeys(read_lines(path), ()))


def read_shipped(name: str) -> ClassMap:
    """Read a map that comes with texneg."""
    if name == NUMBERED:
        return ClassMap(name, {str(i): (wnid,) for i, wnid in enumerate(read_lines(HERE / "imagenet.txt"))})
    if (HERE / f"{name}.json").is_file():
        return ClassMap(name, read_groups(HERE / f"{name}.json"))
    return ClassMap(name, dict.fromkeys(read_lines(HERE / f"{name}.txt"), ()))


def read_groups(path: Path) -> dict[str, tuple[str, ...]]:
    """Read {folder: [names]} or {folder: name}.

    Raises:
        InputError: it holds something else.
    """
    shape = f"{str(path)!r} must hold {{folder: [names of classes]}}"
    found = read_json(path, remedy=shape)
    groups = {folder: (names,) if isinstance(names, str) else names for folder, names in found.items()}
    for names in groups.values():
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise InputError(shape)
    return {folder: tuple(names) for folder, names in groups.items()}


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file that are not empty.

    Raises:
        InputError: it is no text.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"class map {str(path)!r} cannot be read as text ({error})") from error
    return [line.strip() for line in lines if line.strip()]


def read_objectnet(folder: Path) -> dict[str, tuple[str, ...]]:
    """Read the four files by which ObjectNet's folders mean classes of ImageNet, as WordNet ids.

    Raises:
        InputError: a file is missing, or they do not fit together.
    """
    wnids = read_lines(HERE / "imagenet.txt")
    label_of = read_json(folder / "folder_to_objectnet_label.json")
    places = read_json(folder / "pytorch_to_imagenet_2012_id.json")
    names = read_lines(folder / "imagenet_to_label_2012_v2")
    try:
        wnid_of = {names[number]: wnids[int(place)] for place, number in places.items()}
        means = {
            label: tuple(wnid_of[name] for name in group.split("; "))
            for label, group in read_json(folder / OBJECTNET).items()
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the files of {folder} do not fit together ({error}); unpack ObjectNet again"
        ) from error
    return {name: means.get(label, ()) for name, label in label_of.items()}


def declare_folders(images: ImageSet) -> ClassMap:
    """Declare the class folders that a set has, empty ones too."""
    root, names = parse_place(images.root), set(images.classes)
    there = {entry.name for entry in list_own(root) if entry.is_dir()} if root.is_dir() else set[str]()
    names |= there if names & there else set()
    return ClassMap(FOLDERS, dict.fromkeys(sorted(names), ()))

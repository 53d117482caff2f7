"""Cue sets on disk: made in threads, resumed after any kill, with a line of what each file is.

DST holds a folder for each cue; `cues.json`, the settings and the chosen images, written before the first
file; and `cues.jsonl`, a line for each file. A file counts as made once its line is there and has its hash,
so that a run which goes on ends with the same bytes as one that was never stopped.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli.console import info, plural
from texneg.cli.progress import Progress
from texneg.cores import available_cores
from texneg.datasets.cues.layout import CONFLICT, CUES, EDGES, HEADER, LINES, SILHOUETTES, TEXTURES
from texneg.datasets.cues.pictures import Originals
from texneg.datasets.cues.plan import Choice, CueFile, choose_images, list_conflicts, list_singles
from texneg.datasets.cues.shape import draw_edges, fill_shape, paint_black
from texneg.datasets.cues.texture import Square, make_texture
from texneg.datasets.decode import DecodeError, decode
from texneg.datasets.encode import encode
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.storage.atomic import TEMPORARY_SUFFIX, write_bytes, write_errors, write_many
from texneg.datasets.storage.json_files import (
    append_json_line,
    read_json,
    read_json_lines,
    to_json,
    write_json,
)
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import map_in_order, read_or_none
from texneg.errors import InputError, RunFailed
from texneg.textures.texture import warm_up

VERSION = 1  # of the pixels
BATCH = 16  # images between two waits for the disk
HOW = {
    EDGES: "black lines on white: mean shift, then Canny's edges with thresholds from the picture; with masks"
    " the outline of the object and the lines inside it",
    SILHOUETTES: "the object black on white, from its mask",
    TEXTURES: "texture synthesised from squares of the image; with masks from squares inside the object",
    CONFLICT: "the texture of another class inside the object's outline, which is black; white around it",
}


@dataclass(frozen=True)
class Settings:
    """Everything that decides the files, beside the images and their masks."""

    per_class: int
    size: int
    exemplar_size: int
    seed: int
    allow_truncated: bool
    version: int = VERSION


@dataclass(frozen=True)
class CueSets:
    """Finished cue sets."""

    folder: Path
    classes: int
    per_class: int
    files: dict[str, int]
    """number of files of each cue"""


def make_cue_sets(folder: Path, originals: Originals, settings: Settings) -> CueSets:
    """Make cue sets, or what is missing of them.

    Args:
        folder: DST.
        originals: images and masks.
        settings: of the sets.

    Raises:
        InputError: the folder holds something else, or sets of other settings or images.
        RunFailed: a file cannot be written.
    """
    with write_errors(folder, "it goes on"):
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            return _make(folder, originals, settings)


def _make(folder: Path, originals: Originals, settings: Settings) -> CueSets:
    header = open_header(folder, originals, settings)
    choice = Choice(**header["choice"])
    masked = originals.masks is not None
    singles = list(list_singles(choice, masked=masked))
    conflicts = list(list_conflicts(choice, seed=settings.seed)) if masked else []
    files = [*(file for group in singles for file in group), *conflicts]
    made = read_made(folder)
    if done := sum(file.path in made for file in files):
        info(f"{done} of {plural(len(files), 'file')} are there already")
    todo = [left for group in singles if (left := [file for file in group if file.path not in made])]
    rest = [[file] for file in conflicts if file.path not in made]
    with Progress(len(files), done) as progress:
        for groups in (todo, rest):  # a conflict shows a texture that was made
            drawn = _draw_all(folder, originals, settings, made, groups)
            while batch := list(islice(drawn, BATCH)):
                written = [one for group in batch for one in group]
                write_many([(folder / unescape(line["file"]), data) for data, line in written])
                for _, line in written:
                    append_json_line(folder / LINES, line)
                    made[line["file"]] = line
                progress.advance(len(written))
    for temporary in folder.rglob(f".*{TEMPORARY_SUFFIX}"):  # of a run that was killed
        temporary.unlink()
    write_bytes(folder / LINES, b"".join(to_json(made[file.path], indent=None) for file in files))
    counts = {cue: sum(file.cue == cue for file in files) for cue in CUES}
    there = {cue: count for cue, count in counts.items() if count}
    write_json(folder / HEADER, header | {"finished": True, "files": there})
    n = len(next(iter(choice.images.values())))
    return CueSets(folder, len(choice.images), n, there)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep a second run away from a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder} is being written by another texneg cues; wait for it") from None
        yield
    finally:
        os.close(descriptor)


def open_header(folder: Path, originals: Originals, settings: Settings) -> dict[str, Any]:
    """Read the header of earlier cue sets of the same settings and images, or choose images and write one.

    Raises:
        InputError: the folder holds something else, or sets of other settings or images.
    """
    masks = originals.masks
    same = {
        "settings": asdict(settings),
        "images": sample_fingerprint(originals.images),
        "masks": None if masks is None else sample_fingerprint(masks),
    }
    if (folder / HEADER).exists():
        known = read_json(folder / HEADER, remedy=f"remove {folder}")
        if differences := compare_headers(known, same):
            raise InputError(
                f"{folder} holds cue sets of other {' and '.join(differences)}; repeat those, choose another"
                f" DST, or remove {folder}"
            )
        return known
    others = (path.name for path in folder.iterdir() if not path.name.endswith(TEMPORARY_SUFFIX))
    if other := next(others, None):
        raise InputError(
            f"{folder} is neither empty nor of texneg cues (it holds {other}); choose another DST"
        )
    choice = choose_images(originals, per_class=settings.per_class, size=settings.size, seed=settings.seed)
    header = {
        **same,
        "choice": asdict(choice),
        "how": HOW if masks is not None else {cue: HOW[cue] for cue in (EDGES, TEXTURES)},
        "finished": False,
        "texneg": __version__,
    }
    write_json(folder / HEADER, header)
    return read_json(folder / HEADER)


def compare_headers(known: dict[str, Any], same: dict[str, Any]) -> list[str]:
    """Name what tells the header of earlier cue sets from that of a command."""
    was, now = known.get("settings", {}), same["settings"]
    flags = [
        f"--{name.replace('_', '-')} {was.get(name)}, not {now[name]}"
        for name in now
        if was.get(name) != now[name]
    ]
    masked = [header.get("masks") is not None for header in (known, same)]
    if masked[0] != masked[1]:
        flags.append("with --masks" if masked[0] else "without --masks")
    found = [f"settings ({'; '.join(flags)})"] if flags else []
    if known.get("images") != same["images"]:
        found.append("images")
    if all(masked) and known["masks"] != same["masks"]:
        found.append("masks")
    return found


def read_made(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the lines of files that are there with their content, by path."""
    lines = {line["file"]: line for line in read_json_lines(folder / LINES) if "sha256" in line}

    def check(line: dict[str, Any]) -> bool:
        data = read_or_none(folder / unescape(line["file"]))
        return data is not None and hashlib.sha256(data).hexdigest() == line["sha256"]

    whole = map_in_order(check, lines.values())
    return {path: line for (path, line), good in zip(lines.items(), whole, strict=True) if good}


Drawn = list[tuple[bytes, dict[str, Any]]]
"""Encoded files and their lines."""


def _draw_all(
    folder: Path,
    originals: Originals,
    settings: Settings,
    made: dict[str, dict[str, Any]],
    groups: Sequence[Sequence[CueFile]],
) -> Iterator[Drawn]:
    """Draw files group by group, those of one image together, in threads."""
    textures = {line["texture_image"] or line["image"]: path for path, line in made.items()
                if line["cue"] == TEXTURES}  # fmt: skip

    def draw(files: Sequence[CueFile]) -> Drawn:
        return draw_files(folder, originals, settings, textures, files)

    warm_up()
    threads = available_cores()
    return map_in_order(draw, groups, threads=threads, ahead=2 * threads)


def draw_files(
    folder: Path, originals: Originals, settings: Settings, textures: dict[str, str], files: Sequence[CueFile]
) -> Drawn:
    """Draw the files of one image.

    Args:
        folder: DST, which has the textures that cue conflict shows.
        originals: images and masks.
        settings: of the sets.
        textures: their paths by image.
        files: of one image.
    """
    try:
        pixels, mask = originals.open_picture(files[0].image, settings.size)
    except DecodeError as error:
        raise RunFailed(
            f"{files[0].image} of {originals.images.root} could be used when images were chosen and cannot"
            f" now ({error.reason}); bring it back, or remove {folder} and begin anew"
        ) from error
    drawn = []
    for file in files:
        squares: list[Square] = []
        if file.cue == EDGES:
            picture = draw_edges(pixels, mask)
        elif file.cue == TEXTURES:
            picture, squares = make_texture(
                pixels, mask, side=settings.exemplar_size, seed=settings.seed, key=file.image
            )
        else:
            assert mask is not None
            picture = paint_black(mask)
            if file.texture_image is not None:
                other = (folder / unescape(textures[file.texture_image])).read_bytes()
                picture = fill_shape(decode(other).pixels, mask)
        data = encode(picture, "png")
        line = {
            "file": file.path,
            "cue": file.cue,
            "shape": file.shape,
            "texture": file.texture,
            "image": file.image,
            "texture_image": file.texture_image,
            "squares": [list(square) for square in squares],
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        drawn.append((data, line))
    return drawn

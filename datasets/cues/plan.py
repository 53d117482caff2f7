"""The plan of cue sets: which images they are made of, and which class lends its texture to which.

Everything is balanced: as many images of each class, and every ordered pair of classes as often as another.

C classes, N images of each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from texneg.cli.console import info, plural
from texneg.cores import available_cores
from texneg.datasets.corruptions.draws import hash_text
from texneg.datasets.cues.layout import CONFLICT, EDGES, SILHOUETTES, TEXTURES, name_conflict
from texneg.datasets.cues.pictures import Originals
from texneg.datasets.decode import DecodeError
from texneg.datasets.storage.names import show
from texneg.datasets.storage.places import map_in_order
from texneg.errors import InputError
from texneg.philox.arrays import fold, generator, philox
from texneg.philox.streams import Stream


@dataclass(frozen=True)
class Choice:
    """The images that cue sets are made of."""

    images: dict[str, tuple[str, ...]]
    """N keys of each class, in the order in which they were drawn"""
    unusable: dict[str, str]
    """images that were drawn and could not be used, with the reasons"""
    without_mask: tuple[str, ...]
    """all images without a mask, where masks are given"""
    empty: tuple[str, ...]
    """classes without an image of use"""


@dataclass(frozen=True)
class CueFile:
    """One file to make."""

    path: str
    """below DST, percent-escaped"""
    cue: str
    shape: str | None
    """class whose shape it shows"""
    texture: str | None
    """class whose texture it shows"""
    image: str
    """key of the image that gives the shape, of a texture the image itself"""
    texture_image: str | None = None
    """key of the image that gives the texture, in cue conflict"""


def choose_images(originals: Originals, *, per_class: int, size: int, seed: int) -> Choice:
    """Choose as many images of each class, by a draw that does not depend on the other images.

    Raises:
        InputError: fewer than two classes have an image of use, or a mask has another size than its image.
    """
    by_class: dict[str, list[str]] = {name: [] for name in originals.images.classes}
    for key in originals.images.keys:
        by_class[originals.label(key)].append(key)
    without = tuple(key for key in originals.images.keys if not originals.has_mask(key))
    chosen: dict[str, tuple[str, ...]] = {}
    unusable: dict[str, str] = {}
    for name, keys in by_class.items():
        candidates = [key for key in draw_order(keys, seed) if originals.has_mask(key)]
        chosen[name] = tuple(_take_usable(originals, candidates, per_class, size, unusable))
    empty = tuple(name for name, keys in chosen.items() if not keys)
    there = {name: keys for name, keys in chosen.items() if keys}
    if len(there) < 2:
        seen = f"; first: {show(next(iter(unusable)))}: {next(iter(unusable.values()))}" if unusable else ""
        masks = f"{plural(len(without), 'image')} without a mask" if originals.masks else ""
        told = ", ".join([*([masks] if masks else []), f"{len(unusable)} of no use{seen}"])
        raise InputError(
            f"{originals.images.root}: {len(there)} of {len(chosen)} classes have images that cues can be"
            f" made of ({told}); two are needed"
        )
    fewest = min(there, key=lambda name: len(there[name]))
    n = len(there[fewest])
    if n < per_class:
        info(f"{plural(n, 'image')} of each class instead of {per_class}: class {show(fewest)} has no more")
    if unusable:
        key, reason = next(iter(unusable.items()))
        info(f"{plural(len(unusable), 'image')} of no use (first: {show(key)}: {reason})")
    if without:
        info(f"{plural(len(without), 'image')} without a mask left out (first: {show(without[0])})")
    if empty:
        listed = ", ".join(map(show, empty[:5])) + (", ..." if len(empty) > 5 else "")
        info(f"{len(empty)} of {len(chosen)} classes without an image of use left out: {listed}")
    return Choice({name: keys[:n] for name, keys in there.items()}, unusable, without, empty)


def draw_order(keys: Sequence[str], seed: int) -> list[str]:
    """Order images by a random number of each, which no other image changes."""

    def number(key: str) -> tuple[int, ...]:
        return tuple(philox(fold(seed, Stream.CUE_ORDER, hash_text(key)), 0).tolist())

    return sorted(keys, key=lambda key: (number(key), key))


def _take_usable(
    originals: Originals, candidates: Sequence[str], most: int, size: int, unusable: dict[str, str]
) -> Iterator[str]:
    """Take the first images that cues can be made of; those passed over are added to `unusable`."""

    def check(key: str) -> tuple[str, str]:
        try:
            originals.open_picture(key, size)
        except DecodeError as error:
            return key, error.reason
        return key, ""

    taken, threads = 0, min(16, available_cores())
    for key, reason in map_in_order(check, candidates, threads=threads, ahead=2 * threads):
        if reason:
            unusable[key] = reason
            continue
        yield key
        taken += 1
        if taken == most:
            return


def count_pairs(classes: int, per_class: int) -> int:
    """Number of cue-conflict images of each shape's class: with N < C - 1 not every pair has one."""
    others = classes - 1
    return per_class if per_class < others else per_class // others * others


def draw_partners(classes: int, per_class: int, *, seed: int) -> list[list[int]]:
    """Draw the texture's class of each cue-conflict image, by the shape's class, never the class itself.

    The classes stand in a circle of random order, and the n-th image of every class takes the texture of the
    class some steps further; the steps, 1 to C - 1, follow each other in random order. So for each n every
    class gives a texture once, and over C - 1 images every ordered pair occurs once.

    Returns:
        For each of C classes the numbers of as many classes as `count_pairs` says.
    """
    rng = generator(seed, Stream.CUE_PAIRS)
    circle = rng.permutation(classes).tolist()
    steps = (1 + rng.permutation(classes - 1)).tolist()
    place = {number: at for at, number in enumerate(circle)}
    return [
        [
            circle[(place[number] + steps[n % len(steps)]) % classes]
            for n in range(count_pairs(classes, per_class))
        ]
        for number in range(classes)
    ]


def list_singles(choice: Choice, *, masked: bool) -> Iterator[list[CueFile]]:
    """List the files of one cue, image by image."""
    for name, keys in choice.images.items():
        for key in keys:
            path = key if key.startswith(f"{name}/") else f"{name}/{key}"  # tars name their classes elsewhere
            edges = CueFile(f"{EDGES}/{path}.png", EDGES, name, None, key)
            silhouette = CueFile(f"{SILHOUETTES}/{path}.png", SILHOUETTES, name, None, key)
            texture = CueFile(f"{TEXTURES}/{path}.png", TEXTURES, None, name, key)
            yield [edges, silhouette, texture] if masked else [edges, texture]


def list_conflicts(choice: Choice, *, seed: int) -> Iterator[CueFile]:
    """List the cue-conflict files, named <shape><i>-<texture> in the folder of the shape's class.

    The n-th image of a class gives its texture to one image of another class, as it gives its shape to one.
    """
    names = list(choice.images)
    n = len(next(iter(choice.images.values())))
    for shape, partners in zip(names, draw_partners(len(names), n, seed=seed), strict=True):
        for number, partner in enumerate(partners):
            texture = names[partner]
            path = f"{CONFLICT}/{shape}/{name_conflict(shape, number + 1, texture)}.png"
            key, other = choice.images[shape][number], choice.images[texture][number]
            yield CueFile(path, CONFLICT, shape, texture, key, other)

"""Images that cannot be read: the policy of a run, and the search for them before it begins."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from texneg.cores import available_cores
from texneg.datasets.decode import DecodeError
from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import pair
from texneg.datasets.storage.places import map_in_order
from texneg.train.distributed import gather_dicts, processes, rank
from texneg.train.options import later


@dataclass(frozen=True)
class Reading:
    """Policy for damaged training images and missing textures, decided when a run begins."""

    skip_unreadable: bool = False
    """Leave out images (and textures) that cannot be read: all are decoded once before the run begins, and
    unreadable.json in its folder names those that it goes without from then on."""
    allow_truncated: bool = False
    """Use truncated images as far as they go, as Pillow does with LOAD_TRUNCATED_IMAGES."""
    skip_untextured: bool = later(False)
    """Leave out images that have no texture, where negatives of kind texture need one."""
    jpeg: int | None = later(None)
    """Quality of the JPEG files that the images are read from; a --cache of format jpeg sets it."""


def find_unreadable(images: ImageSet, places: Iterable[int]) -> dict[int, str]:
    """Decode the images at these places once; return why some cannot be read, by place.

    Raises:
        OSError: of the storage; that is no fault of an image.
    """

    def explain(i: int) -> tuple[int, str]:
        try:
            images[i]
        except DecodeError as error:
            return i, str(error)
        return i, ""

    threads = min(16, available_cores())
    return {i: why for i, why in map_in_order(explain, places, threads=threads, ahead=8 * threads) if why}


def find_damaged(
    images: ImageSet, textures: ImageSet | None, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Decode all images and textures, shared among the processes; why some cannot be read, by full name.

    An image that cannot be read needs no texture: `texneg synth` made none. Where it is `known` which images
    those are, by full name, textures alone are decoded.
    """
    if known is None:
        found = gather_dicts(find_unreadable(images, range(rank(), len(images), processes())))
    else:
        names = map(images.full_name, range(len(images)))
        found = {i: known[name] for i, name in enumerate(names) if name in known}
    good = [i for i in range(len(images)) if i not in found]
    if textures is not None and good:
        texture = pair(images.take(np.array(good, np.int64)), textures)
        mine = slice(rank(), None, processes())
        bad = find_unreadable(textures, texture[mine].tolist())
        pairs = zip(good[mine], texture[mine].tolist(), strict=True)
        found |= gather_dicts({i: bad[t] for i, t in pairs if t in bad})
    return {images.full_name(i): found[i] for i in sorted(found)}


def leave_out(images: ImageSet, names: Container[str]) -> ImageSet:
    """Return the images but those of these full names."""
    kept = [i for i in range(len(images)) if images.full_name(i) not in names]
    return images.take(np.array(kept, np.int64))


def find_places(kept: ImageSet, images: ImageSet) -> npt.NDArray[np.int64]:
    """Find the places (N,) of the kept images among all."""
    if len(kept) == len(images):
        return np.arange(len(images))
    places = {images.full_name(i): i for i in range(len(images))}
    return np.array([places[kept.full_name(i)] for i in range(len(kept))], np.int64)

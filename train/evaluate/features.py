"""Frozen features of a whole image set, with the reference test transform and a cache on disk.

Shapes: N images, F features, S the encoder's image side in pixels.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from texneg.cli.console import plural
from texneg.cores import available_cores
from texneg.datasets.decode import DecodeError
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.storage.arrays import read_arrays, write_arrays
from texneg.errors import InputError
from texneg.train.evaluate.encoders import Encoder, evaluation_mode, find_device
from texneg.train.networks.normalise import normalise
from texneg.train.networks.preprocessing import Preprocessing, Resize

Bad = Literal["wrong", "skip", "error"]
"""Policy for an image that cannot be read: a wrong answer, left out, or the end of the measurement."""
PIECE = 2**18  # pixels of a pass on a CPU: 16 images of 128 px
REMEDY = "replace this image, take it out of the set, or use --bad skip"
U8 = npt.NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Features:
    """Features of an image set, in its order."""

    values: Tensor
    """float32 (N, F) on the CPU."""
    labels: Tensor
    """int64 (N,): the image set's own class indices."""
    keys: tuple[str, ...]
    """N names that pair the same images between runs."""
    wrong: tuple[int, ...] = ()
    """Places of images that cannot be read and count as wrong; their features are 0."""
    skipped: tuple[int, ...] = ()
    """Places in the image set of images that cannot be read and were left out."""

    @property
    def unreadable(self) -> int:
        """Number of images that cannot be read."""
        return len(self.wrong) + len(self.skipped)

    def mark_wrong(self, right: Tensor) -> Tensor:
        """Return answers, boolean (N,), with those for images that cannot be read set to wrong."""
        marked = right.clone()
        marked[list(self.wrong)] = False
        return marked


@dataclass(frozen=True)
class Edit:
    """A change of every image between its crop and the network."""

    identity: str
    """names everything that decides the change; part of the name of cached features"""
    apply: Callable[[U8, str], U8]
    """from a crop and the image's key to pixels of the same shape"""


def crop(pixels: U8, preprocessing: Preprocessing) -> U8:
    """Resize the shorter side, antialiased, then cut the centre out.

    Args:
        pixels: uint8 (H, W, 3).
        preprocessing: S, and the sizes and the interpolation of the resize. Returns uint8 (S, S, 3).
    """
    size, left, top = preprocessing.plan(*pixels.shape[:2])
    image = Image.fromarray(pixels)
    if image.size != size:
        image = image.resize(size, Image.Resampling[preprocessing.interpolation.upper()])
    side = preprocessing.image_size
    return np.asarray(image.crop((left, top, left + side, top + side)))


def to_network_input(pixels: Tensor, encoder: Encoder) -> Tensor:
    """Turn uint8 (N, S, S, 3) into float32 (N, 3, S, S) with the encoder's channel mean and deviation."""
    mean, std = (torch.tensor(channels, device=pixels.device) for channels in (encoder.mean, encoder.std))
    return normalise(pixels.float() / 255, mean, std)


def read_crops(
    images: ImageSet,
    make: Callable[[U8, int], T],
    *,
    block: int,
    index: npt.NDArray[np.int64] | None = None,
    instead: Callable[[DecodeError, int], T] | None = None,
) -> Iterator[list[T]]:
    """Yield `make(pixels, place)` of the images at `index` (all) in lists of `block`, one list made ahead.

    `instead(error, place)` stands in for an image that cannot be read; without it, that raises `InputError`.
    """

    def one(place: int) -> T:
        try:
            return make(images[place][0], place)
        except DecodeError as error:
            if instead is not None:
                return instead(error, place)
            raise InputError(f"{error}; {REMEDY}") from error

    return run_ahead(one, range(len(images)) if index is None else index.tolist(), block=block)


def run_ahead(one: Callable[[int], T], places: Sequence[int], *, block: int) -> Iterator[list[T]]:
    """Yield `one(place)` of all places in lists of `block`, by several threads, one list made ahead."""
    if block < 1:
        raise InputError(f"--batch {block}: at least 1 image")
    spans: list[Sequence[int]] = [places[at : at + block] for at in range(0, len(places), block)]
    with ThreadPoolExecutor(min(8, available_cores())) as pool:
        ahead = [pool.submit(one, place) for place in spans[0]] if spans else []
        for span in [*spans[1:], []]:
            current, ahead = ahead, [pool.submit(one, place) for place in span]
            yield [job.result() for job in current]


def extract(
    encoder: Encoder,
    images: ImageSet,
    *,
    batch: int = 256,
    flip: bool = False,
    cache: str | None = None,
    bad: Bad = "error",
    resize: Resize | None = None,
    edit: Edit | None = None,
    crops: dict[int, U8] | None = None,
) -> Features:
    """Compute features of every image under the test transform; weights and BN statistics stay as they are.

    Args:
        encoder: normalised images in, features out, on any device. Left in the mode it came in.
        images: N images; none at all, or none that can be read, raises `InputError`.
        batch: images a forward pass.
        flip: average with the features of the mirrored image.
        cache: a folder for the result, keyed by weights, transform and data. None keeps nothing.
        bad: policy for an image that cannot be read; `error` raises `InputError`.
        resize: kind of resize in place of the encoder's.
        edit: change of every crop.
        crops: of these images by place, which are not decoded again; those that it lacks are added.
    """
    if not len(images):
        raise InputError("the image set is empty; give a folder of images in class folders")
    prepared = replace(encoder.preprocessing, resize=resize) if resize else encoder.preprocessing
    kept = make_cache_path(cache, encoder, prepared, images, flip=flip, edit=edit) if cache else None
    found = read_cache(kept, len(images)) if kept else None
    if found is None:
        stop = bad == "error"
        found = compute_features(
            encoder, prepared, images, batch=batch, flip=flip, stop=stop, edit=edit, crops=crops
        )
        if kept:
            values, faults = found
            places, why = np.array(list(faults), np.int64), np.array(list(faults.values()), np.str_)
            write_arrays(kept, values=values.numpy(), bad=places, why=why)
    return apply_policy(*found, images, bad)


def read_cache(path: Path, n: int) -> tuple[Tensor, dict[int, str]] | None:
    """Read what `compute_features` gave for `n` images; None if there is no such file, or it is damaged."""
    arrays = read_arrays(path)
    if arrays is None or arrays.keys() != {"values", "bad", "why"}:
        return None
    values, bad, why = arrays["values"], arrays["bad"].tolist(), arrays["why"].tolist()
    if values.ndim != 2 or len(values) != n or len(bad) != len(why):
        return None
    return torch.from_numpy(values), dict(zip(bad, why, strict=True))


def compute_features(
    encoder: Encoder,
    prepared: Preprocessing,
    images: ImageSet,
    *,
    batch: int,
    flip: bool,
    stop: bool,
    edit: Edit | None = None,
    crops: dict[int, U8] | None = None,
) -> tuple[Tensor, dict[int, str]]:
    """Compute features (N, F), 0 for images that cannot be read, and why each of these cannot, by place.

    Raises:
        InputError: features that are not finite; with `stop`, an image that cannot be read.
    """
    side, device, rows, faults = encoder.image_size, find_device(encoder), list[Tensor](), dict[int, str]()

    def prepare(place: int) -> U8:
        try:
            cut = crop(images[place][0], prepared) if place not in kept else kept[place]
        except DecodeError as error:
            if stop:
                raise InputError(f"{error}; {REMEDY}") from error
            faults[place] = str(error)
            return np.zeros((side, side, 3), np.uint8)
        if crops is not None:
            crops[place] = cut
        return cut if edit is None else edit.apply(cut, images.keys[place])

    kept = crops or {}
    with evaluation_mode(encoder):
        for block in run_ahead(prepare, range(len(images)), block=batch):
            x = to_network_input(torch.from_numpy(np.stack(block)).to(device), encoder)
            y = pass_in_pieces(encoder, x).float()
            if flip:
                y = (y + pass_in_pieces(encoder, x.flip(3)).float()) / 2
            rows.append(y.cpu())
    values = torch.cat(rows)
    require_finite(values, images.root)
    values[sorted(faults)] = 0
    return values, dict(sorted(faults.items()))


def pass_in_pieces(compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Apply a frozen network to a batch (N, 3, S, S), on a CPU to a few images at a time.

    There the allocator gives arrays of up to 32 MB again and maps larger ones anew at each layer, which takes
    as long as a small network.
    """
    if images.device.type != "cpu":
        return compute(images)
    few = max(1, PIECE // images[0, 0].numel())
    return torch.cat([compute(piece) for piece in images.split(few)])


def require_finite(values: Tensor, root: str) -> None:
    """Refuse features or vectors (N, F) with numbers that are none: every answer they give is an accident.

    Raises:
        InputError: with the number of images.
    """
    lost = int((~values.isfinite().all(1)).sum())
    if lost:
        raise InputError(
            f"the encoder's output is not finite for {lost} of {plural(len(values), 'image')} of {root}: its"
            " training has diverged; give another checkpoint"
        )


def apply_policy(values: Tensor, faults: dict[int, str], images: ImageSet, bad: Bad) -> Features:
    """Return the features of images of which some, by place, cannot be read.

    Raises:
        InputError: none can be read; or the policy is `error` and one cannot.
    """
    labels, n = torch.as_tensor(np.asarray(images.labels, np.int64)), len(images)
    if not faults:
        return Features(values, labels, images.keys)
    why = next(iter(faults.values()))
    if len(faults) == n:
        raise InputError(f"none of {plural(n, 'image')} of {images.root} can be read (first: {why})")
    if bad == "error":
        raise InputError(f"{why}; {REMEDY}")
    if bad == "wrong":
        return Features(values, labels, images.keys, wrong=tuple(faults))
    left = torch.tensor([i for i in range(n) if i not in faults])
    return Features(
        values[left], labels[left], tuple(images.keys[i] for i in left.tolist()), skipped=tuple(faults)
    )


def describe_unreadable(count: int, bad: Bad) -> str:
    """Describe images that cannot be read, to stand behind a number; nothing where there are none."""
    done = "counted as wrong" if bad == "wrong" else "left out"
    return f"; {plural(count, 'unreadable image')} {done}" if count else ""


def make_cache_path(
    folder: str,
    encoder: Encoder,
    prepared: Preprocessing,
    images: ImageSet,
    *,
    flip: bool,
    edit: Edit | None = None,
) -> Path:
    """Name the cache of these features by a hash of weights, transform and data, and make its folder."""
    parts = [
        encoder.fingerprint,
        prepared.transform,
        encoder.image_size,
        encoder.mean,
        encoder.std,
        flip,
    ]
    parts += [edit.identity] if edit else []
    text = "\0".join(map(str, [*parts, images.allow_truncated, fingerprint(images, folder)]))
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) / f"features-{hashlib.sha256(text.encode()).hexdigest()[:24]}.npz"

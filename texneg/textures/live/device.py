"""Live textures on any device: maps of a batch in torch operations, the bytes of `numba_maps`.

Shapes: N images, k textures each, T textures, H W image.
"""

import torch
from torch import Tensor

from texneg.philox.tensors import fold_tensor, signed
from texneg.textures.live.device_start import atlas, halve, places, starts, upsample
from texneg.textures.live.device_sweep import refine
from texneg.textures.live.plan import Job, Level, levels, passes
from texneg.textures.window import RADIUS

AT_ONCE = 1 << 20  # output pixels that are searched together, about 1 KiB of scratch each


@torch.no_grad()
def maps(images: Tensor, index: Tensor, job: Job) -> Tensor:
    """For every pixel of every texture the pixel y * W + x of its image that it shows: (N, k, H, W) int64.

    Args:
        images: (N, H, W, 3) uint8, any strides.
        index: (N,) int64 data-set indices on the device of the images.
        job: exemplars, count and key. Nothing here waits for the device.
    """
    N, H, W, _ = images.shape
    keys, number = texture_keys(index, job)
    size = max(1, AT_ONCE // max(H, W) ** 2)
    parts = [_maps(images, number[t : t + size], keys[t : t + size], job) for t in range(0, len(keys), size)]
    found = torch.cat(parts) if parts else keys.new_empty(0, H, W)
    return found.unflatten(0, (N, job.textures))


def texture_keys(index: Tensor, job: Job) -> tuple[Tensor, Tensor]:
    """Key of each texture and number of its image, both (T,)."""
    numbers = torch.arange(job.textures, device=index.device)
    keys = fold_tensor(fold_tensor(signed(job.base), index).unsqueeze(1), numbers).flatten()
    return keys, torch.arange(len(keys), device=index.device) // job.textures


def exemplars(images: Tensor, number: Tensor, tops: Tensor, lefts: Tensor, side: int) -> Tensor:
    """(T, 2, e, e, 3) uint8 squares of the images `number` with corners (T, 2)."""
    along = torch.arange(side, device=images.device)
    rows, columns = (tops.unsqueeze(2) + along)[..., None], (lefts.unsqueeze(2) + along)[..., None, :]
    return images[number[:, None, None, None], rows, columns]


def _maps(images: Tensor, number: Tensor, keys: Tensor, job: Job) -> Tensor:
    """(T, H, W) maps of the textures of image `number`."""
    _, H, W, _ = images.shape
    tops, lefts = places(keys, H, W, job.exemplar)  # (T, 2)
    crops = exemplars(images, number, tops, lefts, job.exemplar)
    scales = levels(max(H, W), job.exemplar)
    source = _atlas_maps(crops.to(torch.int32), keys, scales)[:, RADIUS : RADIUS + H, RADIUS : RADIUS + W]
    pitch = scales[0].pitch
    row, owner = source // pitch % pitch, source // pitch // pitch
    top, left = (corner.gather(1, owner.flatten(1)).view_as(owner) for corner in (tops, lefts))
    return (top + row) * W + left + source % pitch


def _atlas_maps(crops: Tensor, keys: Tensor, scales: tuple[Level, ...]) -> Tensor:
    """(T, side + 4, side + 4) atlas indices at full size."""
    pyramid = [crops]
    for _ in scales[1:]:
        pyramid.append(halve(pyramid[-1]))
    source = starts(keys, scales[-1])
    for level in reversed(scales):
        if level is not scales[-1]:
            source = upsample(source, scales[level.number + 1], level)
        rules = passes(level.number, len(scales))
        refine(source, atlas(pyramid[level.number], level), keys, level, rules)
    return source

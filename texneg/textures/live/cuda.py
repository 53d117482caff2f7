"""Live textures on a CUDA device: `torch_maps` with its levels fused by Triton, the same bytes.

Importing this imports Triton. Shapes: N images, k textures each, T textures, H W image, e exemplar.
"""

import torch
from torch import Tensor

from texneg.textures.live.cuda_sweep import image_pixels, refined
from texneg.textures.live.device import exemplars, texture_keys
from texneg.textures.live.device_start import atlas, halve, places, starts
from texneg.textures.live.plan import Job, levels, passes

AT_ONCE = 1 << 24  # output pixels that are searched together, some 60 bytes of scratch each


@torch.no_grad()
def maps(images: Tensor, index: Tensor, job: Job) -> Tensor:
    """As `torch_maps.maps`: (N, k, H, W) int64. Nothing here waits for the device."""
    N, H, W, _ = images.shape
    keys, number = texture_keys(index, job)
    size = max(1, AT_ONCE // max(H, W) ** 2)
    found = torch.empty(len(keys), H, W, dtype=torch.int64, device=images.device)
    with torch.cuda.device_of(images):
        for t in range(0, len(keys), size):
            part = slice(t, t + size)
            found[part] = _maps(images, number[part], keys[part], job)
    return found.unflatten(0, (N, job.textures))


def _maps(images: Tensor, number: Tensor, keys: Tensor, job: Job) -> Tensor:
    """(T, H, W) maps of the textures of image `number`."""
    _, H, W, _ = images.shape
    tops, lefts = places(keys, H, W, job.exemplar)
    scales = levels(max(H, W), job.exemplar)
    pyramid = [exemplars(images, number, tops, lefts, job.exemplar).to(torch.int16)]
    for _ in scales[1:]:
        pyramid.append(halve(pyramid[-1]))
    source, coarse = starts(keys, scales[-1]).to(torch.int32), None
    for level in reversed(scales):
        colours = atlas(pyramid[level.number], level)
        source = refined(source, coarse, colours, keys, level, passes(level.number, len(scales)))
        coarse = level
    return image_pixels(source, tops, lefts, scales[0], H, W)

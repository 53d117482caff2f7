"""Live textures on a CUDA device: the maps of `device`, the levels fused by Triton kernels.

A class of pixels is one launch; between two launches the counts of use are frozen. Importing this imports
Triton. Shapes: N images, k textures each, T textures, H W image, e exemplar, F side of the output with its
frame, A atlas pixels.
"""

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from texneg.philox.streams import Stream
from texneg.textures.live import cuda_kernels
from texneg.textures.live.device import Corners, atlas, exemplars, halve, places, starts, texture_keys
from texneg.textures.live.plan import CLASSES, Level, LiveOptions, Pass, levels, passes

_PIXELS = 128  # of one program
AT_ONCE = 1 << 24  # output pixels that are searched together, some 60 bytes of scratch each


@torch.no_grad()
def maps(images: Tensor, index: Tensor, options: LiveOptions) -> Tensor:
    """`device.maps`, with the same arguments and the same (N, k, H, W) int64 result."""
    N, H, W, _ = images.shape
    keys, number = texture_keys(index, options)
    size = max(1, AT_ONCE // max(H, W) ** 2)
    found = torch.empty(len(keys), H, W, dtype=torch.int64, device=images.device)
    with torch.cuda.device_of(images):
        for t in range(0, len(keys), size):
            part = slice(t, t + size)
            found[part] = _maps(images, number[part], keys[part], options)
    return found.unflatten(0, (N, options.textures))


def _maps(images: Tensor, number: Tensor, keys: Tensor, options: LiveOptions) -> Tensor:
    """(T, H, W) maps of the textures of image `number`."""
    _, H, W, _ = images.shape
    corners = places(keys, H, W, options)
    scales = levels(max(H, W), options.exemplar, options.levels)
    pyramid = [exemplars(images, number, corners, options.exemplar).to(torch.int16)]
    for _ in scales[1:]:
        pyramid.append(halve(pyramid[-1]))
    source, coarse = starts(keys, scales[-1]).to(torch.int32), None
    for level in reversed(scales):
        colours = atlas(pyramid[level.number], level)
        source = refine(source, coarse, colours, keys, level, passes(level.number, len(scales)))
        coarse = level
    return image_pixels(source, corners, scales[0], H, W)


def refine(
    source: Tensor, coarse: Level | None, atlas: Tensor, keys: Tensor, level: Level, rules: tuple[Pass, ...]
) -> Tensor:
    """(T, F, F) int32 maps of a level after all its sweeps. Compiled for each size of level.

    Args:
        source: (T, F, F) int32 maps of atlas indices, all valid, of this level or of the coarser one.
        coarse: the level of `source` where it is to be doubled first, else None.
        atlas: (T, A, 3) uint8 colours.
        keys: (T,) int64 texture keys.
        level: sizes.
        rules: the sweeps.
    """
    T, device = len(source), source.device
    colours = F.pad(atlas, (0, 1)).view(torch.int32)  # (T, A, 1)
    start, source = source, torch.empty(T, level.framed, level.framed, dtype=torch.int32, device=device)
    image = torch.empty_like(source)
    use = torch.zeros(T, level.bins, dtype=torch.int32, device=device)
    sizes = {"SIZE": level.side, "PITCH": level.pitch, "CELL": level.cell, "PIXELS": _PIXELS}
    cuda_kernels.start_kernel[(T, triton.cdiv(level.framed**2, _PIXELS))](
        start, source, image, colours, use, COARSE=coarse.side if coarse else 0, **sizes
    )
    streams = torch.empty(len(rules), T, dtype=torch.int64, device=device)
    cuda_kernels.stream_kernel[(triton.cdiv(T, _PIXELS), len(rules))](
        streams, keys, T, int(Stream.CANDIDATE), level.number, TEXTURES=_PIXELS
    )
    blocks = triton.cdiv(triton.cdiv(level.side, 3) ** 2, _PIXELS)
    for stream, rule in zip(streams, rules, strict=True):
        for row, column in CLASSES:
            cuda_kernels.class_kernel[(T * blocks,)](
                source,
                image,
                colours,
                use.clone(),
                use,
                stream,
                row,
                column,
                rule.jump,
                level.step(rule.balance),
                EXEMPLAR=level.exemplar,
                RANDOM=rule.random,
                LOCAL=rule.local,
                REACH=rule.reach,
                SEAM=rule.seam,
                BYTEWISE=_multiplies_bytes(device),
                **sizes,
            )
    return source


def _multiplies_bytes(device: torch.device) -> bool:
    """True if the device has NVIDIA's `dp4a`; others multiply bytes one by one."""
    return device.type == "cuda" and torch.version.hip is None


def image_pixels(source: Tensor, corners: Corners, level: Level, H: int, W: int) -> Tensor:
    """(T, H, W) int64 pixels y * W + x of the image, from finished maps and the exemplars' corners."""
    found = torch.empty(len(source), H, W, dtype=torch.int64, device=source.device)
    cuda_kernels.pixel_kernel[(len(source), triton.cdiv(H * W, _PIXELS))](
        found,
        source,
        corners.tops,
        corners.lefts,
        torch.zeros_like(corners.tops) if corners.turns is None else corners.turns.contiguous(),
        H,
        W,
        SIZE=level.side,
        EXEMPLAR=level.exemplar,
        PITCH=level.pitch,
        PIXELS=_PIXELS,
    )
    return found

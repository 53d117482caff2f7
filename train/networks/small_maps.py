"""Convolutions that leave a pixel or a few, such as the last of a network for small images, on the CPU.

A 3x3 convolution of 2x2 pixels multiplies mostly by padding, and libraries plan for larger maps. Here each
output pixel is a sum of matrix products, one for each row of the kernel: the pixels below that row lie side
by side in memory, as their weights do.

Shapes: N batch, I and O channels in and out. Pixels (N, H, W, I) and kernels (O, h, w, I) have channels last.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MOST_PIXELS = 4  # of the output
LEAST_WEIGHTS = 1 << 14  # I * O for each pixel of the output; below, torch's convolution is as fast


class Product(NamedTuple):
    """A row of the kernel over a row of the input, for one output pixel, padding left out."""

    out: tuple[int, int]
    row: int
    columns: slice
    kernel_row: int
    kernel_columns: slice

    def factors(self, pixels: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """View the pixels as (N, n I) and the weights as (O, n I)."""
        return (
            pixels[:, self.row, self.columns].view(len(pixels), -1),
            kernel[:, self.kernel_row, self.kernel_columns].view(len(kernel), -1),
        )


class SmallMapConv2d(nn.Conv2d):
    """A convolution that uses products of matrices where they are faster, with the weights of an old one."""

    def __init__(self, old: nn.Conv2d) -> None:
        # On the device meta, nothing is drawn for weights that are replaced.
        options: dict[str, Any] = {
            "kernel_size": old.kernel_size,
            "stride": old.stride,
            "padding": old.padding,
            "bias": old.bias is not None,
        }
        super().__init__(old.in_channels, old.out_channels, device="meta", **options)
        self.weight, self.bias = old.weight, old.bias

    def forward(self, input: Tensor) -> Tensor:
        """(N, I, H, W) to (N, O, H', W')."""
        geometry: Any = self.kernel_size, self.stride, self.padding
        height, width = output_size((input.shape[2], input.shape[3]), *geometry)
        pixels = height * width
        if not 0 < pixels <= MOST_PIXELS or self.in_channels * self.out_channels < LEAST_WEIGHTS * pixels:
            return super().forward(input)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            input, weight = input.to(dtype), weight.to(dtype)
        y = _Products.apply(input, weight, self.stride, self.padding)
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]


def replace_convolutions(module: nn.Module) -> None:
    """Let the convolutions of a module use products, in place; names of parameters stay the same."""
    for name, child in module.named_children():
        if type(child) is not nn.Conv2d:
            replace_convolutions(child)
        elif (
            child.kernel_size != (1, 1)
            and (child.groups, child.dilation, child.padding_mode) == (1, (1, 1), "zeros")
            and not isinstance(child.padding, str)
        ):
            setattr(module, name, SmallMapConv2d(child))


Pair = tuple[int, int]


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Return height and width of what a convolution leaves."""
    height, width = (
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)
    )
    return height, width


@lru_cache(maxsize=256)
def list_products(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Product, ...]:
    """List the products of a convolution of maps of this size."""

    def overlap(out: int, axis: int) -> range:
        """Places of the kernel that lie over the map."""
        first = padding[axis] - out * stride[axis]
        return range(max(0, first), min(kernel[axis], first + size[axis]))

    def products() -> Iterator[Product]:
        height, width = output_size(size, kernel, stride, padding)
        for i, j in ((i, j) for i in range(height) for j in range(width)):
            columns = overlap(j, 1)
            if not columns:
                continue
            left = j * stride[1] - padding[1]
            for row in overlap(i, 0):
                yield Product(
                    (i, j),
                    i * stride[0] - padding[0] + row,
                    slice(left + columns.start, left + columns.stop),
                    row,
                    slice(columns.start, columns.stop),
                )

    return tuple(products())


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        pixels, kernel = _channels_last(x), _channels_last(weight)
        geometry = (x.shape[2], x.shape[3]), (weight.shape[2], weight.shape[3]), stride, padding
        ctx.products = list_products(*geometry)
        ctx.save_for_backward(pixels, kernel)
        y = pixels.new_zeros(len(pixels), *output_size(*geometry), len(kernel))
        for product in ctx.products:
            a, w = product.factors(pixels, kernel)
            y[:, *product.out].addmm_(a, w.T)
        return y.movedim(-1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        pixels, kernel = ctx.saved_tensors
        dy = _channels_last(dy)
        dpixels, dkernel = torch.zeros_like(pixels), torch.zeros_like(kernel)
        for product in ctx.products:
            a, w = product.factors(pixels, kernel)
            da, dw = product.factors(dpixels, dkernel)
            d = dy[:, *product.out]
            if ctx.needs_input_grad[0]:
                da.addmm_(d, w)
            if ctx.needs_input_grad[1]:
                dw.addmm_(d.T, a)
        return dpixels.movedim(-1, 1), dkernel.movedim(-1, 1), None, None


def _channels_last(x: Tensor) -> Tensor:
    """View or copy (N, C, H, W) as contiguous (N, H, W, C)."""
    return x.movedim(1, -1).contiguous()

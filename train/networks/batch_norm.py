"""Batch norm in a contrastive step: a key must not be recognised by the statistics of its batch.

MoCo hides them by shuffling keys over processes. On one device that changes nothing, since statistics ignore
order; there the batch is cut into groups with statistics of their own, and keys are shuffled over the groups.

Shapes: N batch of a process, W processes, D embedding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from texneg.errors import InputError
from texneg.train.distributed import gather, processes, rank, sum_with_gradient
from texneg.train.networks.backbone import Network, pass_one_image
from texneg.train.networks.split_norm import split_norm


class ActivatedBatchNorm(_BatchNorm):
    """Batch norm over (N, C, ...), then the dropout and activation that timm puts into its own."""

    def __init__(self, old: _BatchNorm) -> None:
        super().__init__(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
        self.drop: nn.Module = getattr(old, "drop", nn.Identity())
        self.act: nn.Module = getattr(old, "act", nn.Identity())
        values = old.state_dict()
        self.to(next(iter(values.values())))
        self.load_state_dict(values)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same shape."""
        return self.act(self.drop(self.normalise(input)))

    def normalise(self, input: Tensor) -> Tensor:
        """Normalise alone."""
        return super().forward(input)


class SplitBatchNorm(ActivatedBatchNorm):
    """Batch norm whose training statistics are those of groups of `group` consecutive rows."""

    def __init__(self, old: _BatchNorm, group: int) -> None:
        super().__init__(old)
        self.group = group

    def normalise(self, input: Tensor) -> Tensor:
        """(N, C, ...) with N a multiple of the group; running statistics follow the mean over the groups."""
        if not self.training:
            return super().normalise(input)
        if len(input) % self.group:
            raise ValueError(f"a batch of {len(input)} does not divide into groups of {self.group}")
        assert self.running_mean is not None and self.running_var is not None
        return split_norm(
            input,
            torch.ones_like(self.running_mean) if self.weight is None else self.weight,
            torch.zeros_like(self.running_mean) if self.bias is None else self.bias,
            self.running_mean,
            self.running_var,
            groups=len(input) // self.group,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )


class SyncBatchNorm(ActivatedBatchNorm):
    """Batch norm with the statistics of all processes on the CPU, where torch's own does not run."""

    def normalise(self, input: Tensor) -> Tensor:
        """(N, C, ...), N equal in all processes."""
        if not self.training or processes() == 1:
            return super().normalise(input)
        assert self.running_mean is not None and self.running_var is not None
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        mean = sum_with_gradient(input.mean(axes)) / processes()
        centred = input - mean.view(shape)
        variance = sum_with_gradient(centred.square().mean(axes)) / processes()
        count = input.numel() // self.num_features * processes()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)


class NcclBatchNorm(ActivatedBatchNorm, nn.SyncBatchNorm):
    """Batch norm with the statistics of all processes, by torch's own, which runs between GPUs alone."""


def split_batch_norm(network: Network, group: int) -> None:
    """Give every batch norm of the network statistics of groups of `group` images, in place.

    A few networks normalise the tokens of an image as rows of the batch; a group has those of its images.

    Raises:
        InputError: no batch norm, or one that does more than normalise and activate.
    """
    require_batch_norm(network, "split")
    rows = count_rows(network)
    replace_batch_norm(network, "split", lambda old: SplitBatchNorm(old, group * rows.get(old, 1)))


def synchronise_batch_norm(module: nn.Module) -> None:
    """Give every batch norm of the module the statistics of all processes, in place.

    Raises:
        InputError: no batch norm, or one that does more than normalise and activate.
    """
    require_batch_norm(module, "sync")
    on_gpus = processes() > 1 and dist.get_backend() == "nccl"
    replace_batch_norm(module, "sync", NcclBatchNorm if on_gpus else SyncBatchNorm)


def find_batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """List the batch norms of a module."""
    return [child for child in module.modules() if isinstance(child, _BatchNorm)]


def require_batch_norm(module: nn.Module, policy: str) -> None:
    """Refuse a policy that would change nothing.

    Raises:
        InputError: the module has no batch norm.
    """
    if not find_batch_norms(module):
        raise InputError(
            f"--bn {policy}: neither this --arch nor its head has batch norm, whose statistics it is about;"
            " use --bn none"
        )


def replace_batch_norm(module: nn.Module, policy: str, make: Callable[[_BatchNorm], nn.Module]) -> None:
    """Replace every batch norm of the module, in place; names of parameters and buffers stay the same."""
    from timm.layers.norm_act import BatchNormAct2d

    for name, child in module.named_children():
        if not isinstance(child, _BatchNorm):
            replace_batch_norm(child, policy, make)
        elif type(child) in (nn.BatchNorm1d, nn.BatchNorm2d, BatchNormAct2d):
            setattr(module, name, make(child))
        else:
            raise InputError(
                f"--bn {policy} does not know {type(child).__name__}; use --bn none or another --arch"
            )


@contextmanager
def share_statistics(module: nn.Module, part: int, parts: int) -> Iterator[None]:
    """Weigh the statistics of a part's pass so that those of all parts count as the ones of one pass.

        r <- (1 - a_i) r + a_i s_i,  a_i = (m / P) / (1 - (P - i) m / P),  i = 1 ... P

    leaves (1 - m) r + m mean_i s_i, as a pass of all groups at once would, where each part has one pass.

    Args:
        module: with the batch norms, of momentum m.
        part: of the pass, 0 ... P - 1.
        parts: P.
    """
    norms = find_batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    for norm, m in zip(norms, momenta, strict=True):
        norm.momentum = None if m is None else m / parts / (1 - (parts - 1 - part) * m / parts)
    try:
        yield
    finally:
        for norm, m in zip(norms, momenta, strict=True):
            norm.momentum = m


@contextmanager
def keep_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise by the statistics of each batch in this block, but leave the running ones as they are.

    For passes of non-semantic negatives through the network that is kept: it will see images alone.
    """
    norms = find_batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def count_rows(network: Network) -> dict[nn.Module, int]:
    """Count the rows of the batch that each batch norm sees for one image."""
    rows: dict[nn.Module, int] = {}

    def count(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows[norm] = len(inputs[0])

    norms = find_batch_norms(network)
    handles = [norm.register_forward_pre_hook(count) for norm in norms]
    try:
        pass_one_image(network, network.image_size)
    finally:
        for handle in handles:
            handle.remove()
    return rows


def find_places(order: npt.NDArray[np.int64], images: int) -> Tensor:
    """Return (2, N) places of this process: of the images that it embeds, and of its own embeddings then.

    Args:
        order: a permutation of 0 ... W N - 1, the same in all processes.
        images: N of a process.
    """
    mine = slice(rank() * images, (rank() + 1) * images)
    return torch.from_numpy(np.stack([order[mine], np.argsort(order)[mine]]))


@torch.no_grad()
def shuffled_pass(network: Callable[[Tensor], Tensor], images: Tensor, places: Tensor) -> Tensor:
    """Embed this process's images (N, D), each in a batch drawn from the joint batch.

    Args:
        network: images to (N, D).
        images: N of them.
        places: (2, N) on their device, from `find_places`.
    """
    there, back = places
    z = gather(network(gather(images).index_select(0, there)))
    return z.index_select(0, back)

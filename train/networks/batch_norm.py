"""Batch norm in a contrastive step: a key must not be recognised by the statistics of its batch.

MoCo hides them by shuffling keys over processes. On one device that changes nothing, since statistics ignore
order; there the batch is cut into groups with statistics of their own, and keys are shuffled over the groups.

Shapes: N batch of a process, W processes, D embedding.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from texneg.errors import InputError
from texneg.train.distributed import gather, processes, rank


class SplitBatchNorm(_BatchNorm):
    """Batch norm whose training statistics are those of groups of `group` consecutive images."""

    group: int

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) with N a multiple of the group; running statistics follow the mean over the groups."""
        if not self.training:
            return super().forward(input)
        if len(input) % self.group:
            raise ValueError(f"a batch of {len(input)} does not divide into groups of {self.group}")
        assert self.running_mean is not None and self.running_var is not None
        parts = input.split(self.group)
        means = self.running_mean.new_zeros(len(parts), self.num_features)
        variances = torch.zeros_like(means)
        y = [
            F.batch_norm(x, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
            for x, mean, variance in zip(parts, means, variances, strict=True)
        ]
        self.running_mean.lerp_(means.mean(0), self.momentum or 0.0)
        self.running_var.lerp_(variances.mean(0), self.momentum or 0.0)
        return torch.cat(y)


class SyncBatchNorm(_BatchNorm):
    """Batch norm with the statistics of all processes on the CPU, where torch's own does not run."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...), N equal in all processes."""
        if not self.training or processes() == 1:
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        mean = all_reduce(input.mean(axes)) / processes()
        centred = input - mean.view(shape)
        variance = all_reduce(centred.square().mean(axes)) / processes()
        count = input.numel() // self.num_features * processes()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)


def apply_policy(module: nn.Module, policy: str, group: int) -> None:
    """Replace every batch norm of the module, in place, for the policy split or sync; names stay the same.

    Raises:
        InputError: an architecture whose batch norm does more than normalise.
    """
    if policy not in ("split", "sync"):
        return
    for name, child in module.named_children():
        if not isinstance(child, _BatchNorm):
            apply_policy(child, policy, group)
            continue
        if type(child) not in (nn.BatchNorm1d, nn.BatchNorm2d):
            raise InputError(f"--bn {policy} does not know {type(child).__name__}; use --bn none or a ResNet")
        new = SplitBatchNorm(child.num_features) if policy == "split" else make_sync_norm(child.num_features)
        if isinstance(new, SplitBatchNorm):
            new.group = group
        new.eps, new.momentum = child.eps, child.momentum
        new.load_state_dict(child.state_dict())
        setattr(module, name, new)


def make_sync_norm(features: int) -> _BatchNorm:
    """Make a synchronised batch norm: torch's own between GPUs, ours on the CPU."""
    on_gpus = processes() > 1 and dist.get_backend() == "nccl"
    return nn.SyncBatchNorm(features) if on_gpus else SyncBatchNorm(features)


@torch.no_grad()
def shuffled_pass(network: nn.Module, images: Tensor, order: Tensor) -> Tensor:
    """Embed this process's images (N, D), each in a batch drawn from the joint batch.

    Args:
        network: (N, 3, S, S) to (N, D).
        images: (N, 3, S, S).
        order: a permutation of 0 ... W N - 1, the same in all processes.
    """
    N = len(images)
    mine = slice(rank() * N, (rank() + 1) * N)
    z = gather(network(gather(images)[order[mine]]))
    return torch.empty_like(z).index_copy_(0, order, z)[mine]

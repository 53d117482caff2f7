"""MoCo-v2 steps of others around the same network: the authors' structure in own words, lightly's parts.

Both take normalised float images (N, 3, S, S), as their loaders give them, and their networks keep torch's
usual memory format. Shapes: N batch, K queue, M non-semantic negatives a query, D embedding.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from texneg.train.config import PretrainConfig
from texneg.train.engine.optimiser import make_optimiser
from texneg.train.methods.moco import Config as MoCoConfig
from texneg.train.networks.backbone import Network, initial_weights
from texneg.train.objectives import InfoNCE


def official_step(config: PretrainConfig, images: Sequence[Tensor]) -> Callable[[], Tensor]:
    """Return a step with the structure of the code of He et al. (CVPR 2020) and Ge et al. (NeurIPS 2021).

    Keys, and each set of non-semantic negatives, are shuffled by a permutation drawn on the device.
    Parameters of the key network follow one at a time; all logits are joined into one matrix; the queue's
    columns (D, K) are overwritten at a place that the host reads from the device.

    Args:
        config: batch, network and loss of the run; its batch norm policy is not used.
        images: query and key views, then M negatives of the query views.
    """
    method, loss = _read(config)
    query, key, *negatives = images
    online = _network(config, query.device)
    average = copy.deepcopy(online).requires_grad_(False)
    optimiser = make_optimiser(online, config.optimisation)
    queue = F.normalize(torch.randn(config.network.dim, method.queue, device=query.device), dim=0)
    place = torch.zeros(1, dtype=torch.long, device=query.device)

    @torch.no_grad()
    def embed(x: Tensor) -> Tensor:
        order = torch.randperm(len(x), device=x.device)
        return F.normalize(average(x[order]), dim=1)[torch.argsort(order)]

    def step() -> Tensor:
        with _autocast(config, query):
            q = F.normalize(online(query), dim=1)
            with torch.no_grad():
                for mine, theirs in zip(average.parameters(), online.parameters(), strict=True):
                    mine.data = mine.data * method.momentum + theirs.data * (1 - method.momentum)
            k, *others = (embed(x) for x in (key, *negatives))
            positive = torch.einsum("nd,nd->n", q, k).unsqueeze(-1)
            ordinary = torch.einsum("nd,dk->nk", q, queue.clone().detach())
            pushed = [loss.alpha * torch.einsum("nd,nd->n", q, t).unsqueeze(-1) for t in others]
            logits = torch.cat([positive, ordinary, *pushed], dim=1) / loss.temperature
            labels = torch.zeros(len(logits), dtype=torch.long, device=query.device)
            value = F.cross_entropy(logits, labels)
        start = int(place)
        queue[:, start : start + len(k)] = k.T.to(queue.dtype)
        place[0] = (start + len(k)) % method.queue
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        return value.detach()

    return step


def lightly_step(config: PretrainConfig, images: Sequence[Tensor]) -> Callable[[], Tensor]:
    """Return a step of lightly's parts for MoCo: momentum update, shuffling, NT-Xent with a memory bank.

    Args:
        config: as in `official_step`.
        images: query and key views; lightly has no non-semantic negatives.
    """
    from lightly.loss import NTXentLoss
    from lightly.models.utils import batch_shuffle, batch_unshuffle, update_momentum

    method, loss = _read(config)
    query, key = images
    online = _network(config, query.device)
    average = copy.deepcopy(online).requires_grad_(False)
    optimiser = make_optimiser(online, config.optimisation)
    criterion = NTXentLoss(loss.temperature, memory_bank_size=(method.queue, config.network.dim))
    criterion = criterion.to(query.device)

    def step() -> Tensor:
        update_momentum(online, average, m=method.momentum)
        with _autocast(config, query):
            q = online(query)
            shuffled, order = batch_shuffle(key)
            k = batch_unshuffle(average(shuffled), order)
            value = criterion(q, k)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        detached: Tensor = value.detach()
        return detached

    return step


def _read(config: PretrainConfig) -> tuple[MoCoConfig, InfoNCE]:
    method, loss = config.method, config.objective.loss
    assert isinstance(method, MoCoConfig) and isinstance(loss, InfoNCE)
    return method, loss


def _network(config: PretrainConfig, device: torch.device) -> nn.Module:
    with initial_weights(config.seed):
        return Network(config.network, config.views.image_size).to(device).train()


def _autocast(config: PretrainConfig, x: Tensor) -> torch.autocast:
    """The precision of the trainer's own step."""
    kind = x.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=kind in config.optimisation.bfloat16_on)

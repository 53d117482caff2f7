"""MoCo-v2 with non-semantic negatives (He et al., CVPR 2020; Ge et al., NeurIPS 2021, arXiv 2110.14189).

Shapes: N batch of a process, K queue, M non-semantic negatives a query, D embedding, S view side.
"""

import copy

import torch
from torch import Tensor, nn

from texneg.losses import info_nce
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.queue import KeyQueue
from texneg.selection import select
from texneg.similarity import Similarities, similarities
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.networks import ema
from texneg.train.networks.batch_norm import apply_policy, gather, processes, shuffled_pass
from texneg.train.networks.network import Architecture, Network, initial_weights
from texneg.train.networks.normalise import Normalise


class MoCo(nn.Module):
    """Query network, momentum key network and queue; `forward` is one step up to the loss.

    The order of a step is the official one: query pass; update of the key network; key pass; one pass for
    each non-semantic negative, so that none share BN statistics; logits; then the keys alone are enqueued.
    """

    def __init__(self, config: PretrainConfig, architecture: Architecture) -> None:
        super().__init__()
        self.config = config
        self.normalise = Normalise()
        with initial_weights(config.seed):
            self.query = Network(architecture)
        apply_policy(self.query, config.bn, config.bn_group)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.queue = KeyQueue(config.dim, config.queue, seed=config.seed)

    @property
    def encoder(self) -> Network:
        """The network that is trained."""
        return self.query

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch, and the mean cosine of each kind of pair without gradient."""
        c = self.config
        with torch.autocast(batch.query.device.type, torch.bfloat16, enabled=c.amp and batch.query.is_cuda):
            q = self.query(self.normalise(batch.query))  # (N, D)
            ema.update(self.key, self.query, c.momentum)
            k = self.embed_keys(batch.key, batch.step, 0)  # (N, D)
            t = None
            if batch.negatives is not None:
                passes = enumerate(batch.negatives.unbind(1), start=1)
                t = torch.stack(
                    [self.embed_keys(x, batch.step, m) for m, x in passes], dim=1
                ).float()  # (N, M, D)
        s = similarities(q.float(), k.float(), self.queue.keys, t)
        chosen = s
        if c.difficulty is not None or c.hardest is not None:
            chosen = select(s, difficulty=c.difficulty, hardest=c.hardest)
        loss = info_nce(chosen, temperature=c.temperature, alpha=c.alpha, eqco=c.eqco)
        self.queue.enqueue(gather(k.float()))
        return loss, mean_cosines(s)

    @torch.no_grad()
    def embed_keys(self, images: Tensor, step: int, number: int) -> Tensor:
        """Key embeddings (N, D) of uint8 views (N, S, S, 3), in a BN pass of their own."""
        x = self.normalise(images)
        if self.config.bn in ("none", "sync"):
            return self.key(x)
        order = generator(self.config.seed, step, number, Stream.KEY_SHUFFLE).permutation(
            len(x) * processes()
        )
        return shuffled_pass(self.key, x, torch.from_numpy(order).to(x.device))


def mean_cosines(s: Similarities) -> dict[str, Tensor]:
    """Mean cosine of each kind of pair that is there: positive, negative, nonsemantic."""
    kinds = {"positive": s.positive, "negative": s.negatives, "nonsemantic": s.nonsemantic}
    return {kind: cosines.detach().mean() for kind, cosines in kinds.items() if cosines.numel()}

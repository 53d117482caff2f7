"""BYOL (Grill et al., NeurIPS 2020) with non-semantic negatives.

The use of negatives is a reconstruction: Ge et al. (NeurIPS 2021) report BYOL results, but neither
code nor settings. Here the non-semantic embeddings of an image come from its query view, and the predictions
of both its views are pushed away from them.

Shapes: N batch of a process, M non-semantic negatives a query, D embedding, S view side.
"""

import copy

import torch
from torch import Tensor, nn

from texneg.losses import byol
from texneg.similarity import similarities
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.engine.schedule import byol_momentum
from texneg.train.methods.moco import mean_cosines
from texneg.train.networks import ema
from texneg.train.networks.batch_norm import apply_policy
from texneg.train.networks.network import BYOL_HIDDEN, Architecture, Network, byol_mlp, initial_weights
from texneg.train.networks.normalise import Normalise


class BYOL(nn.Module):
    """Online network with predictor, and momentum target; `forward` is one step up to the loss."""

    def __init__(self, config: PretrainConfig, architecture: Architecture, total: int) -> None:
        super().__init__()
        self.config, self.total = config, total
        self.normalise = Normalise()
        with initial_weights(config.seed):
            self.online = Network(architecture)
            self.predictor = byol_mlp(config.dim, config.hidden or BYOL_HIDDEN, config.dim)
        for part in (self.online, self.predictor):
            apply_policy(part, config.bn, config.bn_group)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    @property
    def encoder(self) -> Network:
        """The network that is trained."""
        return self.online

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Symmetric loss of a batch, and the mean cosine of each kind of pair without gradient."""
        c = self.config
        first, second = self.normalise(batch.query), self.normalise(batch.key)
        with torch.autocast(first.device.type, torch.bfloat16, enabled=c.amp and first.is_cuda):
            p1, p2 = (self.predictor(self.online(x)) for x in (first, second))  # (N, D)
            ema.update(self.target, self.online, byol_momentum(batch.step, base=c.momentum, total=self.total))
            with torch.no_grad():
                z1, z2 = self.target(first), self.target(second)  # (N, D)
                t = None
                if batch.negatives is not None:
                    passes = [self.target(self.normalise(x)) for x in batch.negatives.unbind(1)]
                    t = torch.stack(passes, dim=1).float()  # (N, M, D)
        s1, s2 = (similarities(p.float(), z.float(), None, t) for p, z in ((p1, z2), (p2, z1)))
        return byol(s1, alpha=c.alpha) + byol(s2, alpha=c.alpha), mean_cosines(s1)

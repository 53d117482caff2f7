"""The truncated triplet method (Wang et al., ICCV 2021): BYOL's networks, negatives from the batch.

The negatives of a prediction are the target's embeddings of the other images, of the view that it is compared
with. Views may have another resolution in each pass.

Shapes: N batch of a process, B of all, M non-semantic negatives an image, D embedding, S view side.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.similarity import Similarities, in_batch_similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import gather, rank
from texneg.train.methods import base, byol
from texneg.train.networks.backbone import Architecture, pass_one_image
from texneg.train.objectives import TruncatedTriplet


@dataclass(frozen=True)
class Config(byol.Config):
    """Truncated triplet: BYOL's networks, contrast with hard negatives of the batch."""

    name = "triplet"
    loss = TruncatedTriplet()

    group: int | None = None
    """Images of a step among which negatives are found, consecutive ones; None: all. The official code has
    those of one GPU, 104 or 196."""
    shrink_online: float = 1.0
    """Smallest side of the online network's views, as a share of --image-size; each pass draws one up to 1
    (as published: 0.43, which is 96 of 224 pixels)."""
    shrink_target: float = 1.0
    """The same for the target network (as published: 0.57, which is 128 of 224 pixels)."""

    def negatives(self, batch: int) -> int:
        """Return the number of the other images of a group."""
        return (self.group or batch) - 1

    def check_parts(self, parts: int, batch: int) -> None:
        """Refuse parts that are no whole number of groups."""
        if self.group is None or batch // parts % self.group:
            fitting = f"--group {batch // parts}, or a divisor of it"
            raise InputError(
                f"--accumulate {parts}: a part has {batch // parts} images, all that a query of --method"
                f" triplet finds negatives among; use {fitting}"
            )

    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int = 0
    ) -> "Triplet":
        """Make online network, predictor and target network."""
        return Triplet(self, network, image_size, seed=seed, steps=steps)

    def check(self, network: Architecture, batch: int) -> None:
        """Refuse what BYOL refuses, groups that do not fill the batch, and shares outside their range."""
        super().check(network, batch)
        if self.group is not None and (self.group < 2 or batch % self.group):
            raise InputError(f"--group {self.group}: at least 2, and a divisor of --batch {batch}")
        for name in ("shrink_online", "shrink_target"):
            if not 0 < getattr(self, name) <= 1:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"{flag} {getattr(self, name):g}: a share of the side, above 0 and at most 1"
                )


class Triplet(byol.BYOL):
    """BYOL's networks; similarities with the batch."""

    def __init__(
        self, config: Config, network: Architecture, image_size: int, *, seed: int, steps: int
    ) -> None:
        super().__init__(config, network, image_size, seed=seed, steps=steps)
        self.seed, self.group, self.image_size = seed, config.group, image_size
        shares = config.shrink_online, config.shrink_target
        self.smallest = tuple(math.ceil(share * image_size - 1e-6) for share in shares)
        for flag, side in zip(("--shrink-online", "--shrink-target"), self.smallest, strict=True):
            self.require_side(side, f"{flag}: --arch {network.arch}")

    @property
    def recordable(self) -> bool:
        """True if all views keep their side."""
        return min(self.smallest) == self.image_size

    def require_side(self, side: int, who: str) -> None:
        """Refuse a backbone that does not take views of this side."""
        try:
            pass_one_image(self.online, side)
        except Exception as error:  # of a foreign model, of any type
            raise InputError(
                f"{who} does not take views of {side} pixels; use 1 or another --arch"
            ) from error

    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare the predictions of either view with the target's embeddings of the other views."""
        pairs, t = self.embed(batch)
        first = rank() * len(batch.query)
        parts = [
            self.centring(in_batch_similarities(p, z, t, gathered=gather(z), start=first), p, t)
            for p, z in pairs
        ]
        if (groups := self.find_groups(batch)) is not None:
            others = base.groups_in_batch(groups)
            parts = [base.leave_out_same(s, groups, others) for s in parts]
        return tuple(self.keep_group(s, first) for s in parts)

    def keep_group(self, s: Similarities, first: int) -> Similarities:
        """Keep the negatives of a query's own group; `first` is the place of query 0 in the joint batch."""
        if self.group is None:
            return s
        rows = torch.arange(first, first + len(s.positive), device=s.positive.device)
        # Each row leaves its own column out, so that the others of its group are still next to one another.
        columns = (rows - rows % self.group).unsqueeze(1) + torch.arange(self.group - 1, device=rows.device)
        return s._replace(negatives=s.negatives.gather(1, columns))

    def resize(self, views: Tensor, number: int) -> Tensor:
        """Resize the views of a pass to a side drawn for it, the same in all processes."""
        smallest = self.smallest[number > 1]
        if smallest == self.image_size:
            return views
        draw = generator(self.seed, self.step, number, Stream.RESOLUTION)
        side = int(draw.integers(smallest, self.image_size + 1))
        return F.interpolate(views, size=(side, side), mode="bilinear", align_corners=False)

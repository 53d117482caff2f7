"""The queue of past keys that serve as ordinary negatives (He et al., MoCo, CVPR 2020).

Shapes: B batch, K keys held, D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

UNTAGGED = -1
"""Tag of a key whose number is unknown."""


class KeyQueue(nn.Module):
    """The last K keys in a ring; a module only so that it moves and is saved with the model.

    It starts with random unit vectors, a function of the seed alone. Form the logits first and enqueue
    afterwards, otherwise a key is among its own negatives.

    Args:
        dim: D >= 1.
        size: K >= 1; need not be a multiple of the batch.
        seed: of the initial vectors.
        tagged: keep a number with each key.
    """

    keys: Tensor  # (K, D) float32, unit vectors
    tags: Tensor | None  # (K,) int64, a number of each key, such as its class; UNTAGGED for none
    position: Tensor  # (), int64, the row that is overwritten next

    def __init__(self, dim: int, size: int, seed: int = 0, *, tagged: bool = False) -> None:
        super().__init__()
        if dim < 1 or size < 1:
            raise ValueError(f"a queue of {size} keys of dimension {dim}; both must be >= 1")
        start = torch.from_numpy(generator(seed, Stream.KEY_QUEUE).standard_normal((size, dim)))
        self.register_buffer("keys", F.normalize(start, dim=1).float())
        self.register_buffer("position", torch.zeros((), dtype=torch.long))
        self.register_buffer("tags", torch.full((size,), UNTAGGED) if tagged else None)

    @torch.no_grad()
    def enqueue(self, keys: Tensor, tags: Tensor | None = None) -> None:
        """Replace the oldest keys with (B, D) new ones, B <= K, L2-normalised; in place, no device wait.

        Args:
            keys: (B, D).
            tags: (B,) int64, for a queue that is tagged.

        Raises:
            ValueError: another rank or dimension, more keys than the queue holds, or tags that are missing
                or too many.
        """
        K, D = self.keys.shape
        if keys.ndim != 2 or keys.shape[1] != D:
            raise ValueError(f"keys have shape {tuple(keys.shape)}; they must be (B, D) with D = {D}")
        if len(keys) > K:
            raise ValueError(f"{len(keys)} keys do not fit a queue of {K}; enlarge it or use a smaller batch")
        if (tags is None) != (self.tags is None) or (tags is not None and tags.shape != keys.shape[:1]):
            given = "none" if tags is None else f"of shape {tuple(tags.shape)}"
            raise ValueError(f"tags are {given}; give one for each of the {len(keys)} keys if tagged=True")
        rows = (self.position + torch.arange(len(keys), device=self.keys.device)) % K
        self.keys.index_copy_(0, rows, F.normalize(keys, dim=1).to(self.keys.dtype))
        if self.tags is not None and tags is not None:
            self.tags.index_copy_(0, rows, tags)
        self.position.add_(len(keys)).remainder_(K)

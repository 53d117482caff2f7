"""The queue of past keys that serve as ordinary negatives (He et al., MoCo, CVPR 2020).

Shapes: B batch, K keys held, D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream


class KeyQueue(nn.Module):
    """The last K keys in a ring; a module only so that it moves and is saved with the model.

    It starts with random unit vectors, a function of the seed alone. Form the logits first and enqueue
    afterwards, otherwise a key is among its own negatives.

    Args:
        dim: D >= 1.
        size: K >= 1; need not be a multiple of the batch.
        seed: of the initial vectors.
    """

    keys: Tensor  # (K, D) float32, unit vectors
    position: Tensor  # (), int64, the row that is overwritten next

    def __init__(self, dim: int, size: int, seed: int = 0) -> None:
        super().__init__()
        if dim < 1 or size < 1:
            raise ValueError(f"a queue of {size} keys of dimension {dim}; both must be >= 1")
        start = torch.from_numpy(generator(seed, Stream.KEY_QUEUE).standard_normal((size, dim)))
        self.register_buffer("keys", F.normalize(start, dim=1).float())
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys with (B, D) new ones, B <= K, L2-normalised; in place, no device wait.

        Raises:
            ValueError: another rank or dimension, or more keys than the queue holds.
        """
        K, D = self.keys.shape
        if keys.ndim != 2 or keys.shape[1] != D:
            raise ValueError(f"keys have shape {tuple(keys.shape)}; they must be (B, D) with D = {D}")
        if len(keys) > K:
            raise ValueError(f"{len(keys)} keys do not fit a queue of {K}; enlarge it or use a smaller batch")
        rows = (self.position + torch.arange(len(keys), device=self.keys.device)) % K
        self.keys.index_copy_(0, rows, F.normalize(keys, dim=1).to(self.keys.dtype))
        self.position.add_(len(keys)).remainder_(K)

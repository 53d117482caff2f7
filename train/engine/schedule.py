"""Learning rate and momentum as pure functions of the step, so that there is no schedule to save."""

import math


def cosine_lr(step: int, *, peak: float, total: int, warmup: int = 0) -> float:
    """Linear warm-up from 0 over `warmup` steps, then a half cosine from `peak` to 0 at step `total`.

    Without warm-up it equals MoCo's schedule at the first step of each epoch; MoCo holds that for the epoch.
    """
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def byol_momentum(step: int, *, base: float, total: int) -> float:
    """BYOL's target momentum, Grill et al., NeurIPS 2020: 1 - (1 - base) (cos(pi step / total) + 1) / 2."""
    return 1 - (1 - base) * (math.cos(math.pi * step / total) + 1) / 2

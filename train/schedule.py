"""Learning rate and momentum as pure functions of the step, so that there is no schedule to save."""

import math


def cosine_lr(step: int, *, peak: float, total: int, warmup: int = 0) -> float:
    """Linear warm-up from 0 over `warmup` steps, then a half cosine from `peak` to 0 at step `total`.

    At the first step of every epoch and without warm-up this is MoCo's schedule, which holds it for the epoch.
    """
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def byol_momentum(step: int, *, base: float, total: int) -> float:
    """Momentum of BYOL's target network: 1 - (1 - base) (cos(pi step / total) + 1) / 2 (Grill et al., 2020)."""
    return 1 - (1 - base) * (math.cos(math.pi * step / total) + 1) / 2

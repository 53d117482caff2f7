"""What cannot train is refused before anything is opened."""

from math import inf

from texneg.errors import InputError
from texneg.patches.plan import default_size, divisors
from texneg.textures.presets import LARGEST_OUTPUT, SMALLEST_EXEMPLAR, SMALLEST_OUTPUT
from texneg.train.config import PretrainConfig


def check(config: PretrainConfig, *, world: int = 1) -> None:
    """Refuse what cannot train, before anything is opened; `world` is the number of processes.

    Raises:
        InputError: naming the flag and what it may be.
    """
    for wrong, message in (
        *_wrong_values(config),
        *_wrong_negatives(config),
        *_wrong_combinations(config, world),
    ):
        if wrong:
            raise InputError(message)


def _wrong_values(c: PretrainConfig) -> tuple[tuple[bool, str], ...]:
    return (
        (not c.data, "no --data: name the folder or tar shards with the training images"),
        (not 0 < c.temperature < inf, f"--temperature {c.temperature}: above 0"),
        (c.eqco is not None and c.eqco < 1, f"--eqco {c.eqco}: at least 1 negative"),
        (not 0 <= c.momentum <= 1, f"--momentum {c.momentum}: 0 to 1"),
        (c.dim < 1 or (c.hidden is not None and c.hidden < 1), "--dim and --hidden: at least 1"),
        (c.layers is not None and min(c.layers) < 1, f"--layers {c.layers}: four numbers of 1 or more"),
        (c.image_size < 8, f"--image-size {c.image_size}: at least 8 pixels"),
        (not 0 < c.crop <= 1, f"--crop {c.crop}: a share of the area, above 0 and at most 1"),
        (not 0 <= c.grey <= 1 or not 0 <= c.blur <= 1, "--grey and --blur are probabilities: 0 to 1"),
        (not 0 <= c.jitter <= 2.5, f"--jitter {c.jitter}: 0 to 2.5"),
        (c.batch < 2 or c.bn_group < 2, "--batch and --bn-group: at least 2 images"),
        (c.epochs < 1, f"--epochs {c.epochs}: at least 1"),
        (not 0 < c.lr < inf, f"--lr {c.lr}: above 0"),
        (not 0 <= c.warmup <= c.epochs, f"--warmup {c.warmup}: 0 to the {c.epochs} epochs of the run"),
        (not 0 <= c.weight_decay < inf, f"--weight-decay {c.weight_decay}: 0 or more"),
        (c.workers < 0, f"--workers {c.workers}: 0 or more"),
        (min(c.log_every, c.checkpoint_every) < 1, "--log-every and --checkpoint-every: at least 1 step"),
        (c.knn_every < 0, f"--knn-every {c.knn_every}: epochs, 0 for never"),
        (c.stop_after is not None and c.stop_after < 1, f"--stop-after {c.stop_after}: at least 1 step"),
        (c.resident is not None and c.resident < 8, f"--resident {c.resident}: at least 8 pixels"),
    )


def _wrong_negatives(c: PretrainConfig) -> tuple[tuple[bool, str], ...]:
    kinds, shares = [kind for kind, _ in c.kinds], [share for _, share in c.mixture]
    lo, hi = c.patch or default_size(c.image_size, c.image_size)
    return (
        (
            (c.negatives == "mixture") != bool(c.mixture),
            "--negatives mixture and --mixture belong together: --negatives mixture --mixture patch 0.5"
            " texture_live 0.5",
        ),
        (
            bool(shares) and not (all(0 <= share < inf for share in shares) and sum(shares) > 0),
            f"--mixture {_words(c.mixture)}: probabilities of at least 0, not all 0",
        ),
        (len(set(kinds)) < len(kinds), f"--mixture {_words(c.mixture)}: name each kind once"),
        (c.count < 1, f"--count {c.count}: 1 or more; for none use --negatives none"),
        (not 0 <= c.alpha < inf, f"--alpha {c.alpha}: 0 or more"),
        (
            c.patch is not None and not 1 <= lo <= hi <= c.image_size,
            f"--patch {c.patch}: smallest and largest side, between 1 and --image-size {c.image_size}",
        ),
        (
            "patch_permutation" in kinds
            and not divisors(c.image_size, c.image_size, max(1, lo), min(hi, c.image_size)),
            f"--patch {lo} {hi}: none of these sides divides --image-size {c.image_size}, which"
            " patch_permutation needs",
        ),
        (c.negatives == "texture" and c.count != 1, f"--count {c.count}: an image has one texture; use 1"),
        (
            "texture_live" in kinds and not SMALLEST_OUTPUT <= c.image_size <= LARGEST_OUTPUT,
            f"--image-size {c.image_size}: {SMALLEST_OUTPUT} to {LARGEST_OUTPUT} pixels for texture_live",
        ),
        (
            c.texture_exemplar is not None and not SMALLEST_EXEMPLAR <= c.texture_exemplar <= c.image_size,
            f"--texture-exemplar {c.texture_exemplar}: {SMALLEST_EXEMPLAR} to the {c.image_size} pixels of"
            " --image-size",
        ),
    )


def _words(mixture: tuple[tuple[str, float], ...]) -> str:
    return " ".join(f"{kind} {share:g}" for kind, share in mixture)


def _wrong_combinations(c: PretrainConfig, world: int) -> tuple[tuple[bool, str], ...]:
    local = c.batch // world
    chosen = (c.difficulty, c.hardest, c.eqco) != (None, None, None)
    low, high = c.difficulty or (0.0, 1.0)
    return (
        (c.batch % world != 0, f"--batch {c.batch}: a multiple of the {world} processes"),
        (
            c.method == "moco" and c.queue < c.batch,
            f"--queue {c.queue}: at least the {c.batch} keys of a batch",
        ),
        (
            c.difficulty is not None and (c.hardest is not None or not 0 <= low < high <= 1),
            f"--difficulty {low} {high}: two shares, the first below the second, and not with --hardest",
        ),
        (
            c.hardest is not None and not 1 <= c.hardest <= c.queue,
            f"--hardest {c.hardest}: 1 to the {c.queue} keys of the queue",
        ),
        (
            c.method == "byol" and chosen,
            "--difficulty, --hardest and --eqco act on ordinary negatives, which BYOL has none of",
        ),
        (
            c.method == "byol" and c.bn in ("shuffle", "split"),
            f"--bn {c.bn}: BYOL has no keys to hide; use none, or sync on several processes",
        ),
        (
            c.bn == "shuffle" and world == 1,
            "--bn shuffle: in one process shuffling changes no statistic; use --bn split",
        ),
        (
            c.bn == "split" and local % c.bn_group != 0,
            f"--bn-group {c.bn_group}: must divide the {local} images of a process",
        ),
    )


def check_size(config: PretrainConfig, n: int) -> str:
    """Refuse a data set of n images that the batch or the queue does not fit; returns a warning, or nothing.

    Raises:
        InputError: naming a batch or queue that fits.
    """
    if n < config.batch:
        raise InputError(f"--batch {config.batch} > data set size {n}: use a smaller batch or more images")
    if config.method != "moco" or 2 * config.queue <= n:
        return ""
    fitting = max(config.batch, 1 << (max(1, n // 2).bit_length() - 1))
    if config.queue >= n:
        remedy = f"--queue {fitting}" if fitting < n else f"--queue and --batch of at most {n // 2}"
        raise InputError(
            f"--queue {config.queue} >= data set size {n}: every image would be its own negative;"
            f" use {remedy}"
        )
    if fitting == config.queue:
        return ""
    # Two random places in successive epochs lie less than K steps apart in (K / n)^2 / 2 of all cases.
    now, then = (50 * (queue / n) ** 2 for queue in (config.queue, fitting))
    return (
        f"--queue {config.queue} > half of data set size {n}: {now:.0f} % of the queries meet their own key"
        f" of the epoch before among the negatives; with --queue {fitting} {then:.0f} %"
    )

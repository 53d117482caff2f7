"""What a pre-training run is: one flat, frozen configuration."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from texneg.errors import InputError
from texneg.options import Positional

Negatives = Literal["none", "patch", "texture"]


@dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run; a flag that is left out keeps the value shown, that of the recipe.

    A run folder belongs to one configuration: only paths, pace and logging may change when it goes on.
    """

    recipe: Positional[str] = "custom"
    """Name of a recipe: a set of defaults that every flag below overrides."""
    data: str = ""
    """Training images: a class-folder tree, flat folder or tar shards; the `train` split if there is one."""
    textures: str = ""
    """Texture set made by `texneg synth` from the same images; needed for --negatives texture."""
    out: str = ""
    """Run folder; empty: runs/RECIPE-sSEED. A folder with a checkpoint is resumed."""

    method: Literal["moco", "byol"] = "moco"
    """Contrast with a queue (MoCo-v2), or positives only (BYOL; its use of negatives is a reconstruction)."""
    negatives: Negatives = "patch"
    """Kind of non-semantic negatives."""
    alpha: float = 2.0
    """Weight of the non-semantic cosine, inside the exponent."""
    count: int = 1
    """Non-semantic negatives a query (textures: 1)."""
    patch: tuple[int, int] | None = None
    """Smallest and largest side of a patch, pixels; none: the paper's 16 and 72 of 224, scaled."""
    temperature: float = 0.2
    """Temperature of InfoNCE, above 0."""
    queue: int = 65536
    """Keys in the queue: at least a batch, fewer than images."""
    difficulty: tuple[float, float] | None = None
    """Keep the ordinary negatives of these ranks, as shares, hardest first (0 0.05: hardest 5 percent)."""
    hardest: int | None = None
    """Keep this many hardest ordinary negatives of each query."""
    eqco: int | None = None
    """Effective number of negatives of EqCo's margin."""
    momentum: float = 0.999
    """Momentum of the key encoder; BYOL raises it to 1 over the run."""

    arch: str = "resnet50"
    """Name of a timm model."""
    stem: Literal["standard", "stride1", "stride2"] = "standard"
    """ResNet stem: 7x7 with max-pool, or for small images one 3x3 of stride 1 or 2 without max-pool."""
    width: int = 64
    """Channels of a ResNet's first stage, even; other than 64 needs a small-image stem."""
    layers: tuple[int, int, int, int] | None = None
    """Blocks of a ResNet's four stages; none: those of the model."""
    dim: int = 128
    """Dimensions of the embedding."""
    hidden: int | None = None
    """Hidden units of the heads; none: as many as the features (MoCo), 4096 (BYOL)."""
    bn: Literal["none", "shuffle", "split", "sync"] = "split"
    """Batch norm: as it is; keys shuffled over processes; statistics of groups, keys shuffled over all groups
    (works on one device); statistics of all processes."""
    bn_group: int = 32
    """Images a group for --bn split."""

    image_size: int = 224
    """Side of a view in pixels."""
    crop: float = 0.2
    """Smallest share of the image's area in a crop."""
    jitter: float = 1.0
    """Strength of the colour jitter: 1 is brightness, contrast, saturation 0.4 and hue 0.1."""
    grey: float = 0.2
    """Probability of a grey view."""
    blur: float = 0.5
    """Probability of a blur, sigma 0.1 to 2 pixels; 0 for images up to 64 pixels."""

    batch: int = 256
    """Images a step, over all processes."""
    epochs: int = 200
    """Passes over the data; the last incomplete batch is left out."""
    optimizer: Literal["sgd", "lars"] = "sgd"
    """SGD with momentum 0.9, or LARS with momentum 0.9 (bias and norm without scaling and decay)."""
    lr: float = 0.03
    """Peak learning rate."""
    warmup: float = 0.0
    """Epochs of linear warm-up before the cosine."""
    weight_decay: float = 1e-4
    """Weight decay."""
    seed: int = 0
    """Seed of weights, order, views and negatives."""
    resident: int | None = None
    """Keep all images in memory, shrunk to this short side in pixels."""
    amp: bool = True
    """bfloat16 autocast on a GPU; the loss stays in float32."""

    device: str = "auto"
    """auto, cpu or cuda."""
    workers: int = 0
    """Loader processes a training process; 0 loads in the process itself."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 1000
    """Steps between two checkpoints."""
    knn_every: int = 0
    """Epochs between two kNN measurements; 0 for none."""
    stop_after: int | None = None
    """Stop after this many steps of this call, with a checkpoint; the same command goes on."""


RUN_ONLY = frozenset(
    (
        "data",
        "textures",
        "out",
        "device",
        "workers",
        "log_every",
        "checkpoint_every",
        "knn_every",
        "stop_after",
    )
)
"""Fields that may differ between a run and its resumption."""


def check(config: PretrainConfig, *, world: int = 1) -> None:
    """Refuse what cannot train, before anything is opened; `world` is the number of processes.

    Raises:
        InputError: naming the flag and what it may be.
    """
    for wrong, message in (*_wrong_values(config), *_wrong_combinations(config, world)):
        if wrong:
            raise InputError(message)


def _wrong_values(c: PretrainConfig) -> tuple[tuple[bool, str], ...]:
    return (
        (not c.data, "no --data: name the folder or tar shards with the training images"),
        (c.count < 1, f"--count {c.count}: 1 or more; for none use --negatives none"),
        (not 0 <= c.alpha < inf, f"--alpha {c.alpha}: 0 or more"),
        (
            c.patch is not None and not 1 <= c.patch[0] <= c.patch[1] <= c.image_size,
            f"--patch {c.patch}: smallest and largest side, between 1 and --image-size {c.image_size}",
        ),
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


def _wrong_combinations(c: PretrainConfig, world: int) -> tuple[tuple[bool, str], ...]:
    local = c.batch // world
    chosen = (c.difficulty, c.hardest, c.eqco) != (None, None, None)
    low, high = c.difficulty or (0.0, 1.0)
    return (
        (
            c.negatives == "texture" and not c.textures,
            "--negatives texture needs --textures: run texneg synth",
        ),
        (
            c.negatives == "texture" and c.textures == c.data,
            f"--textures {c.textures}: the same as --data; name the folder that texneg synth wrote",
        ),
        (c.negatives == "texture" and c.count != 1, f"--count {c.count}: an image has one texture; use 1"),
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

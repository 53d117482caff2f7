"""What a pre-training run is: one flat, frozen configuration."""

from dataclasses import dataclass
from typing import Literal

from texneg.cli.fields import Positional

Kind = Literal["patch", "patch_permutation", "texture", "texture_live"]
Negatives = Literal["none", "patch", "patch_permutation", "texture", "texture_live", "mixture"]


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
    """Texture set made by `texneg synth` from the same images, for negatives of kind texture; empty: those in
    the same tars as the images, which `texneg synth --layout paired` wrote."""
    out: str = ""
    """Run folder; empty: runs/RECIPE-sSEED. A folder with a checkpoint is resumed."""

    method: Literal["moco", "byol"] = "moco"
    """Contrast with a queue (MoCo-v2), or positives only (BYOL; its use of negatives is a reconstruction)."""
    negatives: Negatives = "patch"
    """Non-semantic negatives: squares of the query view at random places (patch) or permuted
    (patch_permutation), the image's texture made before (texture), one made of the query view in the step
    (texture_live), or a kind drawn for each negative (mixture)."""
    mixture: tuple[tuple[Kind, float], ...] = ()
    """Kinds and their probabilities for --negatives mixture: patch 0.5 texture_live 0.5."""
    alpha: float = 2.0
    """Weight of the non-semantic cosine, inside the exponent."""
    count: int = 1
    """Non-semantic negatives a query (of kind texture: 1)."""
    patch: tuple[int, int] | None = None
    """Smallest and largest side of a patch, pixels; none: the paper's 16 and 72 of 224, scaled."""
    patch_overlap: bool = True
    """Patches of kind patch at independent places; without: disjoint squares, permuted."""
    patch_flip: bool = False
    """Mirror each patch left to right with probability 1/2."""
    patch_rotate: bool = False
    """Turn each patch by 0 to 3 quarters."""
    texture_method: Literal["live", "fast", "default", "quality"] = "live"
    """Synthesiser of texture_live: live on any device, the others of texneg synth on the CPU."""
    texture_exemplar: int | None = None
    """Side of the two pieces of the view that texture_live is made of, pixels; none: scaled to the view."""
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

    @property
    def kinds(self) -> tuple[tuple[Kind, float], ...]:
        """Kinds of non-semantic negatives with their probabilities; empty for none."""
        if self.negatives == "mixture":
            return self.mixture
        return () if self.negatives == "none" else ((self.negatives, 1.0),)


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

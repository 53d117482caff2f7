"""Recipes: each is a function that returns a whole configuration; `texneg pretrain NAME` runs it.

The paper is Ge et al., NeurIPS 2021, arXiv 2110.14189; "table" is that of its official repository:
linear probe top-1 in percent on ImageNet-100, mean and standard deviation of three runs. Every recipe has its
baseline: --negatives none.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.data import augmentations
from texneg.train.data.augmentations import MocoV2
from texneg.train.engine.optimiser import Optimisation
from texneg.train.engine.run import Run
from texneg.train.methods import byol, memory_bank, moco, simclr, simo, triplet
from texneg.train.negatives import Negatives, Patch, PatchPermutation, Texture, TextureLive
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Byol, InfoNCE, Objective, TruncatedTriplet


def moco_v2_imagenet100() -> PretrainConfig:
    """MoCo-v2, ImageNet-100, ResNet-50, queue 16384: the baseline of the paper's main rows.

    Table: 77.88 +- 0.28. Hardware: one GPU of 24 GB or more. The official runs shuffled keys over several
    GPUs; --bn split does the same on one.
    """
    return PretrainConfig(
        recipe="moco_v2_imagenet100",
        views=MocoV2(image_size=224),
        negatives=Negatives(),
        method=moco.Config(queue=16384, momentum=0.999),
        objective=Objective(InfoNCE(temperature=0.2)),
        network=Architecture("resnet50", bn="split", bn_group=16),
        optimisation=Optimisation(batch=128, epochs=200, lr=0.03, weight_decay=1e-4),
        run=Run(workers=16),
    )


def moco_v2_patch_imagenet100() -> PretrainConfig:
    """MoCo-v2 with one patch negative a query, alpha 2, ImageNet-100.

    Table: 79.35 +- 0.15 (alpha 3: 75.58 +- 0.52, but better on sketches and renditions). Hardware as the
    baseline; a step takes about a quarter longer.
    """
    return replace(
        moco_v2_imagenet100(),
        recipe="moco_v2_patch_imagenet100",
        negatives=Negatives.of(Patch()),
        objective=Objective(InfoNCE(temperature=0.2, alpha=2.0)),
    )


def moco_v2_patch_permutation_imagenet100() -> PretrainConfig:
    """MoCo-v2 with a permutation of disjoint squares as negative, alpha 2, ImageNet-100: an ablation.

    No row in the table: the authors' first version, which they found worse than patches and dropped. Hardware
    as the baseline.
    """
    return replace(
        moco_v2_patch_imagenet100(),
        recipe="moco_v2_patch_permutation_imagenet100",
        negatives=Negatives.of(PatchPermutation()),
    )


def moco_v2_texture_imagenet100() -> PretrainConfig:
    """MoCo-v2 with one texture negative a query, alpha 2, ImageNet-100; needs textures made before.

    Table: 77.76 +- 0.17. Hardware as the baseline.
    """
    return replace(
        moco_v2_patch_imagenet100(),
        recipe="moco_v2_texture_imagenet100",
        negatives=Negatives.of(Texture()),
    )


def moco_v2_texture_live_imagenet100() -> PretrainConfig:
    """MoCo-v2 with a texture made of the query view in the step, alpha 2, ImageNet-100.

    No row in the table: the paper's textures are made once, offline, and it names the lack of fresh ones as a
    reason why patches do better. Hardware as the baseline.
    """
    return replace(
        moco_v2_patch_imagenet100(),
        recipe="moco_v2_texture_live_imagenet100",
        negatives=Negatives.of(TextureLive()),
    )


def moco_v2_star_imagenet100() -> PretrainConfig:
    """MoCo-v2 with large batch, rate and queue, ImageNet-100: the rows with a star, baseline.

    Table: 80.00 +- 0.14. Batch 512, lr 0.8, momentum 0.99, queue 65536, otherwise the main rows' settings.
    Hardware: one GPU of 80 GB or several.
    """
    return replace(
        moco_v2_imagenet100(),
        recipe="moco_v2_star_imagenet100",
        method=moco.Config(queue=65536, momentum=0.99),
        network=Architecture("resnet50", bn="split", bn_group=64),
        optimisation=Optimisation(batch=512, epochs=200, lr=0.8, weight_decay=1e-4),
    )


def moco_v2_star_patch_imagenet100() -> PretrainConfig:
    """MoCo-v2 with large batch, rate and queue and one patch negative, alpha 2, ImageNet-100.

    Table: 81.18 +- 0.09; with --queue 16384: 81.49 +- 0.11. Hardware as its baseline.
    """
    return replace(
        moco_v2_star_imagenet100(),
        recipe="moco_v2_star_patch_imagenet100",
        negatives=Negatives.of(Patch()),
        objective=Objective(InfoNCE(temperature=0.2, alpha=2.0)),
    )


def byol_imagenet100() -> PretrainConfig:
    """BYOL, ImageNet-100, ResNet-50; a reconstruction, since the paper's BYOL settings are not public.

    No expected number. BYOL's augmentation; LARS with the linear rule lr = 0.3 x batch / 256, 10 epochs of
    warm-up. Hardware: one GPU of 80 GB, or several with --bn sync.
    """
    return PretrainConfig(
        recipe="byol_imagenet100",
        views=augmentations.Byol(image_size=224),
        negatives=Negatives(),
        method=byol.Config(momentum=0.99),
        objective=Objective(Byol()),
        network=Architecture("resnet50", dim=256, bn="none"),
        optimisation=Optimisation(
            batch=512, epochs=200, optimizer="lars", lr=0.6, warmup=10, weight_decay=1e-6
        ),
        run=Run(workers=16),
    )


def byol_patch_imagenet100() -> PretrainConfig:
    """BYOL with one patch negative an image, ImageNet-100; loss and alpha are a reconstruction.

    No expected number: the paper claims an out-of-distribution gain, a user of its repository found none.
    """
    return replace(
        byol_imagenet100(),
        recipe="byol_patch_imagenet100",
        negatives=Negatives.of(Patch()),
        objective=Objective(Byol(alpha=0.5)),
    )


def simo_imagenet() -> PretrainConfig:
    """SiMo, ImageNet, ResNet-50, 255 keys of the same batch, EqCo's margin of 256 (Zhu et al., 2020).

    Published: 68.04 linear top-1 after 200 epochs, with four negatives (--keys 4) about as good as MoCo-v2.
    Hardware: 8 GPUs with --bn sync under torchrun, or one of 80 GB with --bn none.
    """
    return PretrainConfig(
        recipe="simo_imagenet",
        views=MocoV2(image_size=224),
        negatives=Negatives(),
        method=simo.Config(momentum=0.999),
        objective=Objective(InfoNCE(temperature=0.2, eqco=256)),
        network=Architecture("resnet50", bn="sync", zero_init_last=True),
        optimisation=Optimisation(batch=256, epochs=200, lr=0.03, warmup=10 / 5004, weight_decay=1e-4),
        run=Run(workers=16),
    )


def triplet_imagenet() -> PretrainConfig:
    """Truncated triplet loss, ImageNet, ResNet-50, LARS, several resolutions (Wang et al., ICCV 2021).

    Published: 73.8 linear top-1 after 200 epochs, 75.9 after 700 to 900, with BYOL's augmentation. Negatives
    are those of 196 images, one GPU of eight with four accumulated batches. Hardware: 32 GPUs of 80 GB, or
    less with a smaller --batch and --lr in proportion.
    """
    return PretrainConfig(
        recipe="triplet_imagenet",
        views=augmentations.Byol(image_size=224),
        negatives=Negatives(),
        method=triplet.Config(momentum=0.99, group=196, shrink_online=96 / 224, shrink_target=128 / 224),
        objective=Objective(TruncatedTriplet(ranks=(2, 10))),
        network=Architecture("resnet50", dim=256, bn="sync"),
        optimisation=Optimisation(
            batch=6272, epochs=200, optimizer="lars", lr=4.8, warmup=10, weight_decay=1e-6
        ),
        run=Run(workers=16),
    )


def simclr_imagenet() -> PretrainConfig:
    """SimCLR, ImageNet, ResNet-50, batch 4096, LARS (Chen et al., ICML 2020).

    Published: 69.3 linear top-1. Hardware: 16 GPUs of 80 GB with --bn sync under torchrun, or less with a
    smaller --batch and --lr in proportion.
    """
    return PretrainConfig(
        recipe="simclr_imagenet",
        views=augmentations.SimClr(image_size=224),
        negatives=Negatives(),
        method=simclr.Config(),
        objective=Objective(InfoNCE(temperature=0.1)),
        network=Architecture("resnet50", bn="sync"),
        optimisation=Optimisation(
            batch=4096, epochs=1000, optimizer="lars", lr=4.8, warmup=10, weight_decay=1e-6
        ),
        run=Run(workers=16),
    )


def memory_bank_cifar10() -> PretrainConfig:
    """A memory bank of all images, CIFAR-10, ResNet-18, temperature 0.3 (Wang and Liu, CVPR 2021).

    Published: 83.27 linear top-1; with --hardest 4095 --temperature 1: 84.19; with --loss simple_contrastive
    74.83, and --hardest 4095 84.84. Their rate fell in two steps, here by a cosine. Hardware: one GPU.
    """
    return PretrainConfig(
        recipe="memory_bank_cifar10",
        views=augmentations.WangLiu(image_size=32),
        negatives=Negatives(),
        method=memory_bank.Config(keys=49_999),
        objective=Objective(InfoNCE(temperature=0.3)),
        network=Architecture("resnet18", stem="stride1", bn="none"),
        optimisation=Optimisation(batch=128, epochs=200, lr=0.03, weight_decay=5e-4, resident=32),
        run=Run(workers=14, knn_every=20),
    )


def imagenette128_gpu() -> PretrainConfig:
    """MoCo-v2 with a patch negative on imagenette at 128 px, ResNet-18; ours, for one GPU.

    No row in the paper. Hardware: one GPU and 16 cores, images resident.
    """
    return PretrainConfig(
        recipe="imagenette128_gpu",
        views=MocoV2(image_size=128),
        negatives=Negatives.of(Patch()),
        method=moco.Config(queue=4096, momentum=0.99),
        objective=Objective(InfoNCE(temperature=0.2, alpha=2.0)),
        network=Architecture("resnet18", stem="stride2", bn="split", bn_group=32),
        optimisation=Optimisation(batch=256, epochs=400, lr=0.06, weight_decay=5e-4, resident=160),
        run=Run(workers=14, knn_every=20),
    )


def imagenette128_cpu() -> PretrainConfig:
    """MoCo-v2 with a patch negative on imagenette at 64 px, a quarter-width ResNet-10; ours, for CPU cores.

    No row in the paper: a short run, minutes on one core, that shows direction and not level.
    """
    return PretrainConfig(
        recipe="imagenette128_cpu",
        views=MocoV2(image_size=64, blur=0.0),
        negatives=Negatives.of(Patch()),
        method=moco.Config(queue=2048, momentum=0.99),
        objective=Objective(InfoNCE(temperature=0.2, alpha=2.0)),
        network=Architecture(
            "resnet18",
            stem="stride2",
            width=16,
            layers=(1, 1, 1, 1),
            dim=64,
            hidden=256,
            bn="split",
            bn_group=16,
            zero_init_last=True,
        ),
        optimisation=Optimisation(batch=64, epochs=20, lr=0.2, warmup=1, weight_decay=5e-4, resident=80),
        run=Run(knn_every=5),
    )


def demo() -> PretrainConfig:
    """MoCo-v2 on the embedded data set at 32 px, the network of `imagenette128_cpu`; ours, for one CPU core.

    No row in the paper: about a minute on one core. Half of the views are grey: else the few tints of the
    images are learnt first, and little more in so short a run.
    """
    return replace(
        imagenette128_cpu(),
        recipe="demo",
        views=MocoV2(image_size=32, crop=0.5, grey=0.5, blur=0.0),
        method=moco.Config(queue=512, momentum=0.99),
        optimisation=Optimisation(batch=64, epochs=80, lr=0.25, warmup=1, weight_decay=5e-4, resident=64),
        run=Run(),
    )


RECIPES: tuple[Callable[[], PretrainConfig], ...] = (
    moco_v2_imagenet100,
    moco_v2_patch_imagenet100,
    moco_v2_patch_permutation_imagenet100,
    moco_v2_texture_imagenet100,
    moco_v2_texture_live_imagenet100,
    moco_v2_star_imagenet100,
    moco_v2_star_patch_imagenet100,
    byol_imagenet100,
    byol_patch_imagenet100,
    simo_imagenet,
    triplet_imagenet,
    simclr_imagenet,
    memory_bank_cifar10,
    imagenette128_gpu,
    imagenette128_cpu,
    demo,
)


def find_recipe(name: str) -> PretrainConfig:
    """Return the configuration of a recipe.

    Raises:
        InputError: no recipe of that name; lists those there are.
    """
    named = {made.__name__: made for made in RECIPES}
    if name not in named:
        raise InputError(f"no recipe {name!r}; choose from: {', '.join(named)}")
    return named[name]()


def describe_recipes(name: str) -> str:
    """Return the description of a recipe; of a name that is none, a list of all recipes."""
    for made in RECIPES:
        if made.__name__ == name:
            return inspect.getdoc(made) or ""
    lines = (f"\n  {made.__name__:<38}{(made.__doc__ or '').partition(chr(10))[0]}" for made in RECIPES)
    return f"Train a recipe, which is a whole configuration, or change it.\n\nRecipes:{''.join(lines)}"

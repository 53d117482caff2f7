"""ImageNet-1k, ResNet-50, 224 px: the five methods as published.

Sources: MoCo-v2, arXiv 2003.04297; Ge et al., NeurIPS 2021; SiMo, Zhu et al., arXiv 2010.01929; truncated
triplet, Wang et al., ICCV 2021; SimCLR, ICML 2020; BYOL, NeurIPS 2020.
"""

from dataclasses import replace

from texneg.train.config import PretrainConfig
from texneg.train.data import augmentations
from texneg.train.data.augmentations import MocoV2
from texneg.train.engine.optimiser import Optimisation
from texneg.train.engine.run import Run
from texneg.train.methods import byol, moco, simclr, simo, triplet
from texneg.train.negatives import Negatives, Patch
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Byol, InfoNCE, Objective, TruncatedTriplet
from texneg.train.recipes.recipe import Recipe

IMAGES = 1_281_167


def moco_v2_imagenet() -> PretrainConfig:
    """MoCo-v2, ImageNet, ResNet-50, queue 65536.

    Published: 67.6 linear top-1 after 200 epochs in the code base of SiMo, 71.1 after 800. The official runs
    shuffled keys over eight GPUs of 32 images; --bn split does the same on one.
    """
    return PretrainConfig(
        recipe="moco_v2_imagenet",
        views=MocoV2(image_size=224),
        negatives=Negatives(),
        method=moco.Config(queue=65536, momentum=0.999),
        objective=Objective(InfoNCE(temperature=0.2)),
        network=Architecture("resnet50", bn="split", bn_group=32),
        optimisation=Optimisation(batch=256, epochs=200, lr=0.03, weight_decay=1e-4),
        run=Run(workers=16),
    )


def moco_v2_patch_imagenet() -> PretrainConfig:
    """MoCo-v2 with one patch negative a query, alpha 2, ImageNet.

    Published: a gain in and out of distribution, without numbers (Ge et al.).
    """
    return replace(
        moco_v2_imagenet(),
        recipe="moco_v2_patch_imagenet",
        negatives=Negatives.of(Patch(paper=True)),
        objective=Objective(InfoNCE(temperature=0.2, alpha=2.0)),
    )


def byol_imagenet() -> PretrainConfig:
    """BYOL, ImageNet, ResNet-50, batch 4096, 300 epochs.

    Published: 72.5 linear top-1; 74.3 after 1000 epochs with --lr 3.2 --weight-decay 1.5e-6 --momentum 0.996.
    """
    return PretrainConfig(
        recipe="byol_imagenet",
        views=augmentations.Byol(image_size=224),
        negatives=Negatives(),
        method=byol.Config(momentum=0.99),
        objective=Objective(Byol()),
        network=Architecture("resnet50", dim=256, bn="sync"),
        optimisation=Optimisation(
            batch=4096, epochs=300, optimizer="lars", lr=4.8, warmup=10, weight_decay=1e-6
        ),
        run=Run(workers=16),
    )


def simclr_imagenet() -> PretrainConfig:
    """SimCLR, ImageNet, ResNet-50, batch 4096, temperature 0.1.

    Published: 60.6 linear top-1 after 200 epochs, 69.3 after 1000.
    """
    return PretrainConfig(
        recipe="simclr_imagenet",
        views=augmentations.SimClr(image_size=224),
        negatives=Negatives(),
        method=simclr.Config(),
        objective=Objective(InfoNCE(temperature=0.1)),
        network=Architecture("resnet50", bn="sync"),
        optimisation=Optimisation(
            batch=4096, epochs=200, optimizer="lars", lr=4.8, warmup=10, weight_decay=1e-6
        ),
        run=Run(workers=16),
    )


def simo_imagenet() -> PretrainConfig:
    """SiMo, ImageNet, ResNet-50, 255 keys of the same batch, EqCo's margin of 256 (Zhu et al., 2020).

    Published: 68.04 linear top-1 after 200 epochs, with four negatives (--keys 4) about as good as MoCo-v2.
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
    are those of 196 images, one GPU of eight with four accumulated batches; on less, a smaller --batch and
    --lr in proportion.
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


RECIPES = (
    Recipe(moco_v2_imagenet, "ImageNet", IMAGES, "67.6 (800 epochs: 71.1)", "1 GPU, 40 GB", 32.5),
    Recipe(moco_v2_patch_imagenet, "ImageNet", IMAGES, "", "1 GPU, 40 GB", 40.7),
    Recipe(byol_imagenet, "ImageNet", IMAGES, "72.5 (1000 epochs: 74.3)", "32 GPUs, 40 GB", 65.1),
    Recipe(simclr_imagenet, "ImageNet", IMAGES, "60.6 (1000 epochs: 69.3)", "32 GPUs, 40 GB", 48.8),
    Recipe(simo_imagenet, "ImageNet", IMAGES, "68.04", "8 GPUs, 12 GB", 32.5),
    Recipe(triplet_imagenet, "ImageNet", IMAGES, "73.8 (900 epochs: 75.9)", "32 GPUs, 40 GB", 53.6),
)

"""Our own: imagenette, tiny16 and the embedded data set, for one GPU or a few cores; no row in a paper."""

from dataclasses import replace

from texneg.train.centring import Centring
from texneg.train.config import PretrainConfig
from texneg.train.data.augmentations import MocoV2
from texneg.train.engine.optimiser import Optimisation
from texneg.train.engine.run import Run
from texneg.train.methods import moco
from texneg.train.negatives import Negatives, Patch
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import InfoNCE, Objective
from texneg.train.recipes.recipe import CORE, Recipe

IMAGENETTE, TINY16, EMBEDDED = 9_469, 13_000, 2_560


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


def tiny16_gpu() -> PretrainConfig:
    """MoCo-v2 with a patch negative on tiny16 at 64 px, ResNet-18 with a 3x3 stem, for one GPU."""
    return replace(
        imagenette128_gpu(),
        recipe="tiny16_gpu",
        views=MocoV2(image_size=64),
        network=Architecture("resnet18", stem="stride1", bn="split", bn_group=32),
        optimisation=Optimisation(batch=256, epochs=200, lr=0.06, weight_decay=5e-4, resident=64),
    )


def tiny16_cpu() -> PretrainConfig:
    """MoCo-v2 with a patch negative on tiny16 at 64 px, the network of `imagenette128_cpu`, for CPU cores."""
    return replace(imagenette128_cpu(), recipe="tiny16_cpu")


def demo() -> PretrainConfig:
    """MoCo-v2 on the embedded data set at 32 px, the network of `imagenette128_cpu`; ours, for one CPU core.

    No row in the paper: less than a minute on one core. AdamW, since SGD spends a third of so short a run
    before the loss falls at all; patches without hard seams, centred, since at 32 px a network tells plain
    ones by their seams and learns nothing else from them. Half of the views are grey: else the few tints of
    the images are learnt first.
    """
    return replace(
        imagenette128_cpu(),
        recipe="demo",
        views=MocoV2(image_size=32, crop=0.5, jitter=0.0, grey=0.5, blur=0.0),
        negatives=Negatives.of(Patch(size="small", mirror=3, blend=0.125)),
        method=moco.Config(queue=512, momentum=0.99),
        objective=Objective(InfoNCE(temperature=0.2, alpha=2.0), centring=Centring("mean")),
        optimisation=Optimisation(
            batch=64, epochs=16, optimizer="adamw", lr=0.002, warmup=1, weight_decay=0.05, resident=64
        ),
        run=Run(),
    )


RECIPES = (
    Recipe(imagenette128_gpu, "imagenette", IMAGENETTE, "", "1 GPU, 24 GB", 22.2),
    Recipe(imagenette128_cpu, "imagenette", IMAGENETTE, "", CORE, 0.162),
    Recipe(tiny16_gpu, "tiny16", TINY16, "", "1 GPU, 24 GB", 22.3),
    Recipe(tiny16_cpu, "tiny16", TINY16, "", CORE, 0.162),
    Recipe(demo, "embedded", EMBEDDED, "", CORE, 0.0408),
)

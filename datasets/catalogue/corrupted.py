"""Published sets of corrupted images: a cell for each corruption and severity."""

from texneg.datasets.catalogue.known import CORRUPTIONS, KnownSet
from texneg.datasets.corruptions.corrupt import CORRUPTIONS as FIFTEEN
from texneg.datasets.corruptions.corrupt import EXTRA

ARCHIVES = ("noise", "blur", "weather", "digital", "extra")  # of ImageNet-C, and folders in it
HENDRYCKS = "Hendrycks and Dietterich, ICLR 2019"
TREE = "CORRUPTION/SEVERITY/WNID/IMAGE with severities 1 to 5"
READING = (
    "mean accuracy over corruptions and severities; the files are JPEGs of quality 85, so it is not to be"
    " mixed with corruptions made in memory"
)
ARRAYS = (
    "CORRUPTION.npy, uint8 of shape (50000, 32, 32, 3) with the 10,000 images of severity 1 first, beside"
    " labels.npy"
)

CORRUPTED = (
    KnownSet(
        name="imagenet-c",
        title=f"ImageNet-C ({HENDRYCKS})",
        group=CORRUPTIONS,
        where="https://zenodo.org/records/2235448",
        licence="unknown; images of ImageNet, for research",
        layout=f"{TREE}, also below {'/ '.join(ARCHIVES)}/ as in the archives",
        reading=f"{READING}. The extra four corruptions stand beside the mean, not in it",
        images=15 * 5 * 50_000,
        classes="imagenet",
        ready_cut=True,
        cells="folders",
        corruptions=tuple(FIFTEEN),
        extra=tuple(EXTRA),
        also=(*ARCHIVES, *FIFTEEN, *EXTRA),
    ),
    KnownSet(
        name="imagenet-c-bar",
        title="ImageNet-C-bar: ten corruptions chosen to be unlike those of ImageNet-C",
        group=CORRUPTIONS,
        where="https://github.com/facebookresearch/augmentation-corruption",
        licence="MIT (code); images of ImageNet, for research",
        layout=f"{TREE}; of a copy made by the authors' code the five values, in ascending order",
        reading=READING,
        images=10 * 5 * 50_000,
        classes="imagenet",
        ready_cut=True,
        cells="folders",
        corruptions=(
            "blue_noise_sample",
            "brownish_noise",
            "caustic_refraction",
            "checkerboard_cutout",
            "cocentric_sine_waves",
            "inverse_sparkles",
            "perlin_noise",
            "plasma_noise",
            "single_frequency_greyscale",
            "sparkles",
        ),
    ),
    KnownSet(
        name="tiny-imagenet-c",
        title=f"Tiny-ImageNet-C, 200 classes at 64 px ({HENDRYCKS})",
        group=CORRUPTIONS,
        where="https://zenodo.org/records/2536630",
        licence="unknown; images of ImageNet, for research",
        layout=TREE,
        reading="mean accuracy over corruptions and severities, for encoders of 64 px",
        images=15 * 5 * 10_000,
        classes="tiny-imagenet",
        ready_cut=True,
        cells="folders",
        corruptions=tuple(FIFTEEN),
        extra=tuple(EXTRA),
    ),
    KnownSet(
        name="laion-c",
        title="LAION-C (Li et al., ICML 2025): six distortions that web-scale models have not seen",
        group=CORRUPTIONS,
        where="https://zenodo.org/records/14051887",
        licence="MIT",
        layout=(
            "DISTORTION/LEVEL/CATEGORY/IMAGE with levels 1 to 5 or intensity_level_1 to 5 (the layout of the"
            " archive itself could not be checked)"
        ),
        reading=(
            "mean accuracy over distortions and levels; right is any class of the category, while the authors"
            " average the probabilities of its classes"
        ),
        classes="laion-c",
        ready_cut=True,
        cells="folders",
        corruptions=(
            "mosaic",
            "vertical_lines",
            "glitched",
            "luminance_checkerboard",
            "geometric_shapes",
            "stickers",
        ),
        renamed={
            **{"luminance": "luminance_checkerboard", "luminance_dataset": "luminance_checkerboard"},
            "luminance_checkerboard_dataset": "luminance_checkerboard",
            **{"sticker": "stickers", "sticker_dataset": "stickers", "stickers_dataset": "stickers"},
            **{"mosaic_dataset": "mosaic", "vertical_lines_dataset": "vertical_lines"},
            **{"glitched_dataset": "glitched", "geometric_shapes_dataset": "geometric_shapes"},
        },
    ),
    KnownSet(
        name="cifar-10-c",
        title=f"CIFAR-10-C ({HENDRYCKS})",
        group=CORRUPTIONS,
        where="https://zenodo.org/records/2535967",
        licence="CC BY 4.0 (as a mirror of it says)",
        layout=ARRAYS,
        reading="mean accuracy over corruptions and severities, for encoders of 32 px; no JPEG",
        images=15 * 5 * 10_000,
        size=2_918_471_680,
        classes="cifar-10",
        ready_cut=True,
        cells="arrays",
        corruptions=tuple(FIFTEEN),
        extra=tuple(EXTRA),
    ),
    KnownSet(
        name="cifar-100-c",
        title=f"CIFAR-100-C ({HENDRYCKS})",
        group=CORRUPTIONS,
        where="https://zenodo.org/records/3555552",
        licence="unknown",
        layout=ARRAYS,
        reading="mean accuracy over corruptions and severities, for encoders of 32 px; no JPEG",
        images=15 * 5 * 10_000,
        classes="cifar-100",
        ready_cut=True,
        cells="arrays",
        corruptions=tuple(FIFTEEN),
        extra=tuple(EXTRA),
    ),
)

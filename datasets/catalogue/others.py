"""Published sets of one cell: other photographs, renditions, and sets of single cues."""

from texneg.datasets.catalogue.known import CUES, OUT, RENDITIONS, KnownSet

GEIRHOS = "Geirhos et al., ICLR 2019"
STIMULI = "https://github.com/rgeirhos/texture-vs-shape"
CATEGORIES = "the 16 categories (airplane ... truck)"

OTHERS = (
    KnownSet(
        name="imagenet-a",
        title="ImageNet-A (arXiv 1907.07174): unmodified photographs that mislead classifiers",
        group=OUT,
        where="https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
        licence="MIT (repository); of the photographs unknown",
        layout="WNID/IMAGE, 200 class folders",
        reading=(
            "accuracy among 200 classes (masked); among 1,000 (unmasked) some models are right on hardly any:"
            " say which of the two it is"
        ),
        images=7_500,
        classes="imagenet-a",
    ),
    KnownSet(
        name="imagenet-v2",
        title="ImageNet-V2 (Recht et al., arXiv 1902.10811): new test images of ImageNet's classes",
        group=OUT,
        where="https://huggingface.co/datasets/vaishaal/ImageNetV2",
        licence="MIT (code); photographs of Flickr, used as ImageNet's",
        layout="0 ... 999/IMAGE, class folders numbered in the order of ImageNet's classes",
        reading=(
            "accuracy on new photographs; there are three sets: say which of matched-frequency, threshold0.7"
            " and top-images it is"
        ),
        images=10_000,
        size=1_260_000_000,
        classes="imagenet-v2",
    ),
    KnownSet(
        name="objectnet",
        title="ObjectNet (Barbu et al., NeurIPS 2019): objects at odd places and angles",
        group=OUT,
        where="https://objectnet.dev/download.html",
        licence="its own: forbids training on it",
        layout="images/OBJECT/IMAGE beside mappings/, as in the archive",
        reading=(
            "accuracy over the objects that are classes of ImageNet, by its own map. The red border of one"
            " pixel is not cut off: it lies outside a centre crop"
        ),
        images=50_000,
        below="images",
        own_map="mappings",
    ),
    KnownSet(
        name="imagenet-w",
        title="ImageNet-W (Li et al., CVPR 2023): a watermark on ImageNet's validation images",
        group=OUT,
        where="https://github.com/facebookresearch/Whac-A-Mole",
        licence="see the repository; images of ImageNet, for research",
        layout=(
            "WNID/IMAGE; no files are published: write the crops out with the authors' transform AddWatermark"
        ),
        reading=(
            "the fall from the clean accuracy on the same images counts, not the accuracy itself: how much"
            " one watermark decides"
        ),
        images=50_000,
        classes="imagenet",
        ready_cut=True,
    ),
    KnownSet(
        name="imagenet-r",
        title="ImageNet-R (Hendrycks et al., arXiv 2006.16241): renditions, from art to toys",
        group=RENDITIONS,
        where="https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
        licence="MIT (repository); of the images unknown",
        layout="WNID/IMAGE, 200 class folders",
        reading="accuracy among 200 classes (masked); a head of ImageNet-100 shares 19 of them",
        images=30_000,
        size=2_190_000_000,
        classes="imagenet-r",
    ),
    KnownSet(
        name="imagenet-sketch",
        title="ImageNet-Sketch (H. Wang): black-and-white sketches",
        group=RENDITIONS,
        where="https://github.com/HaohanWang/ImageNet-Sketch",
        licence="see the repository; of the images unknown",
        layout="WNID/IMAGE, 1,000 class folders",
        reading="accuracy among all classes of the head",
        images=50_000,
        size=7_800_000_000,
        classes="imagenet",
        also=("line-drawings",),
    ),
    KnownSet(
        name="stylized-imagenet",
        title=f"Stylized-ImageNet ({GEIRHOS}): photographs in the styles of paintings",
        group=RENDITIONS,
        where="https://github.com/rgeirhos/Stylized-ImageNet",
        licence="not given out: made from your own copy of ImageNet",
        layout="WNID/IMAGE, the folder val of what the authors' code makes",
        reading="accuracy where local texture is that of a painting",
        images=50_000,
        classes="imagenet",
        also=("imagenet-stylized",),
    ),
    KnownSet(
        name="pacs",
        title="PACS (Li et al., ICCV 2017): seven classes in four domains",
        group=RENDITIONS,
        where="https://sketchx.eecs.qmul.ac.uk/downloads/",
        licence="not stated",
        layout="DOMAIN/CLASS/IMAGE; each domain is a set of its own, such as --sets sketch=pacs/sketch",
        reading="accuracy among seven classes; a head fitted on the domain photo meets the other three anew",
        images=9_991,
        classes="pacs",
        also=("sketch", "cartoon", "art_painting"),
        parts=("art_painting", "cartoon", "photo", "sketch"),
    ),
    KnownSet(
        name="cue-conflict",
        title=f"Cue conflict ({GEIRHOS}): one category's shape, another's texture",
        group=CUES,
        where=f"{STIMULI} (stimuli/style-transfer-preprocessed-512)",
        licence="CC BY 4.0",
        layout=f"CATEGORY/<shape><i>-<texture><j>.png, {CATEGORIES}",
        reading=(
            "shape bias, the share of shape among decisions for either cue; not an accuracy. A head of"
            " ImageNet's classes needs --mapping sixteen"
        ),
        images=1_280,
        size=136_000_000,
        classes="sixteen",
        ready_cut=True,
        flag="--cue-conflict",
    ),
    KnownSet(
        name="edges",
        title=f"Edges ({GEIRHOS}): outlines of objects",
        group=CUES,
        where=f"{STIMULI} (stimuli/edges)",
        licence="CC BY 4.0",
        layout=f"CATEGORY/IMAGE, {CATEGORIES}",
        reading="accuracy on shape without texture; right is any class of the category",
        images=160,
        classes="sixteen",
        ready_cut=True,
    ),
    KnownSet(
        name="filled-silhouettes",
        title=f"Silhouettes ({GEIRHOS}): objects filled with black",
        group=CUES,
        where=f"{STIMULI} (stimuli/filled-silhouettes)",
        licence="CC BY 4.0",
        layout=f"CATEGORY/IMAGE, {CATEGORIES}",
        reading="accuracy on the outer shape alone; right is any class of the category",
        images=160,
        classes="sixteen",
        ready_cut=True,
        also=("silhouettes",),
    ),
    KnownSet(
        name="refined-bias",
        title="REFINED-BIAS (Kim et al., arXiv 2603.10834): 3,000 images of shapes, 3,000 of textures",
        group=CUES,
        where="https://github.com/PumjunKim/REFINED-BIAS",
        licence="MIT (repository)",
        layout=(
            "refined_bias_shape/CLASS/IMAGE and refined_bias_texture/CLASS/IMAGE, ten classes each; each is a"
            " set of its own"
        ),
        reading=(
            "mean reciprocal rank of the cue's class among all classes of the head, as published, and the"
            " accuracy on one cue at a time"
        ),
        images=6_000,
        classes="refined-bias",
        ready_cut=True,
        also=("refined_bias_shape", "refined_bias_texture"),
        parts=("refined_bias_shape", "refined_bias_texture"),
    ),
)

"""The table of benchmarks behind `texneg bench NAME`, and all those of speed in one call."""

from texneg.bench.common.results import PhotosConfig

BENCHMARKS = {
    "negatives": ("texneg.bench.negatives:bench", "speed of negatives beside peers and a copy, GPU included"),
    "textures": ("texneg.bench.textures:bench", "speed and quality of texture methods"),
    "all": ("texneg.bench.bench:bench_all", "negatives and textures in one run"),
    "synth": ("texneg.bench.synth:bench", "throughput of a texture run, stage by stage"),
    "workers": ("texneg.bench.workers:bench", "two worker processes against one"),
    "scale": ("texneg.bench.scale:bench", "cost of a run of ImageNet-1k's size that makes no texture"),
    "kill": ("texneg.bench.kill:bench", "kill a texture run in every way, resume it, compare the bytes"),
    "published-tool": ("texneg.bench.published_tool:bench", "CPU time beside the published texture tool"),
    "batch-norm": ("texneg.bench.batch_norm:bench", "steps with batch norm of groups beside plain steps"),
    "step": ("texneg.bench.step:bench", "the trainer's step beside the official one and lightly's"),
    "views": ("texneg.bench.views:bench", "augmented views beside torchvision's on Pillow images"),
    "loader": (
        "texneg.bench.loader:bench",
        "decoding and two views beside the official pipeline, caches too",
    ),
    "corruptions": (
        "texneg.bench.corruptions:bench",
        "corruptions beside a straight implementation of the published ones",
    ),
    "suppressions": (
        "texneg.bench.suppressions:bench",
        "suppressions of shape, texture, colour beside NumPy and OpenCV",
    ),
    "corruption-table": (
        "texneg.bench.corruption_table:bench",
        "75 cells of ImageNet-C made on the fly: shares of time, memory, a kill",
    ),
    "probe": ("texneg.bench.probe:bench", "the probe's sweep of penalties beside scikit-learn's"),
    "tell": ("texneg.bench.tell:bench", "cost of telling negatives from images, field by field"),
    "e2e": ("texneg.bench.e2e:bench", "a whole short training, and the shares of its parts"),
    "gpu": (
        "texneg.bench.gpu_session:bench",
        "one timed session on a GPU: checks, speed, a study of three arms",
    ),
    "study": ("texneg.bench.study:bench", "the study on imagenette and PACS"),
}


def bench_all(config: PhotosConfig) -> int:
    """Measure speed and quality of every kind of negative on this machine, its GPU included.

    A GPU run takes minutes, most of them the CPU's; the first also compiles. It needs neither tyro nor Dask:
    where they are absent, call it from Python, `bench_all(PhotosConfig(json=Path("h200.json")))`.
    """
    from texneg.bench import gpu, negatives, textures
    from texneg.bench.common.ratios import report

    rows = negatives.measure_negatives(quick=config.quick)
    rows += gpu.measure_gpu(quick=config.quick)
    rows += textures.measure_textures(config.photos, quick=config.quick)
    gates = (*negatives.GATES, *gpu.GATES, *textures.GATES)
    return report(config, rows, gates, **textures.describe(config.photos))

"""The embedded images of the demo, and the run that makes a texture of each one to train on."""

from pathlib import Path

from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded
from texneg.synth.synth import SynthConfig

EXEMPLAR_PX = 24  # of the 64 px images: a piece of the figure and a piece of the ground
SHARD, PART = 320, 40  # images of a commit and of a task: each core has several, and a kill finds some done


def write_data(out: Path) -> None:
    """Write the embedded data set, unless it is there."""
    write_embedded(out / "data", EmbeddedConfig())


def texture_run(out: Path, dst: Path, **compute: str | int) -> SynthConfig:
    """Configure the texture run on the training images.

    Args:
        out: folder of the demo.
        dst: folder for the textures; their bytes do not depend on it.
        compute: flags that say which processes make them.
    """
    return SynthConfig.flat(
        str(out / "data" / "train"),
        str(dst),
        size=EmbeddedConfig.size,
        exemplar_size=EXEMPLAR_PX,
        shard_size=SHARD,
        part_size=PART,
        **compute,
    )

"""Images go through the stages in groups; the result for one does not depend on the others."""

from pathlib import Path

import pytest

from texneg.datasets.sources.reader import read_item
from texneg.datasets.sources.sources import Source, open_source
from texneg.errors import InputError
from texneg.synth.synth import Output
from texneg.synth.task import images
from texneg.synth.task.images import GROUP, make_outputs

FOLDER = Source(Path("photos"), "folder", ("",))


@pytest.mark.parametrize("layout", ["textures", "paired"])
def test_a_group_gives_what_its_images_give_alone(
    photos: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_once(patches, *, seed, **options):
        if seed == unlucky:
            raise IndexError("unlucky")
        return whole(patches, seed=seed, **options)

    settings = Output(size=32, layout=layout).settings(FOLDER)  # type: ignore[arg-type]
    items = list(open_source(photos).items())[: 2 * GROUP + 3]
    unlucky, whole = images.image_seed(settings.seed, items[1].key), images.texture
    monkeypatch.setattr(images, "texture", fails_once)
    outs = [item.key for item in items]

    def read(item):
        return b"\xff\xd8\xff" if item is items[GROUP] else read_item(photos, item)

    part = make_outputs(items, outs, settings, read, first=5)
    alone = [make_outputs([item], [item.key], settings, read, first=5 + i) for i, item in enumerate(items)]
    assert part.rows == [one.rows[0] for one in alone]
    assert part.textures == [texture for one in alone for texture in one.textures]
    assert len(part.textures) == len(items) - 2
    assert part.rows[1].status == "synth_error"
    assert part.rows[GROUP].status == "decode_error"
    assert all(bool(texture.image) == (layout == "paired") for texture in part.textures)


def test_an_error_of_the_run_is_not_a_row(photos: Path) -> None:
    def read(item):
        raise InputError("s3://bucket needs a package")

    items = list(open_source(photos).items())[:2]
    settings = Output().settings(FOLDER)
    with pytest.raises(InputError, match="needs a package"):
        make_outputs(items, ["a", "b"], settings, read)

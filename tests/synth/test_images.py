"""Images go through the stages in groups; what becomes of one does not depend on the others."""

from pathlib import Path

import pytest

from texneg.datasets.sources.reader import read_item
from texneg.datasets.sources.sources import open_source
from texneg.errors import InputError
from texneg.synth.config import SynthConfig, settings_of
from texneg.synth.task import images
from texneg.synth.task.images import GROUP, process_part


@pytest.mark.parametrize("layout", ["textures", "paired"])
def test_a_group_gives_what_its_images_give_alone(
    photos: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_once(patches, *, seed, **options):
        if seed == unlucky:
            raise IndexError("unlucky")
        return whole(patches, seed=seed, **options)

    config = SynthConfig(str(photos), "unused", size=32, layout=layout)
    settings = settings_of(config, "folder")
    items = list(open_source(photos).items())[: 2 * GROUP + 3]
    unlucky, whole = images.image_seed(settings.seed, items[1].key), images.texture
    monkeypatch.setattr(images, "texture", fails_once)
    outs = [item.key for item in items]

    def read(item):
        return b"\xff\xd8\xff" if item is items[GROUP] else read_item(photos, item)

    part = process_part(items, outs, settings, read, first=5)
    alone = [process_part([item], [item.key], settings, read, first=5 + i) for i, item in enumerate(items)]
    assert part.rows == [one.rows[0] for one in alone]
    assert part.made == [made for one in alone for made in one.made]
    assert len(part.made) == len(items) - 2
    assert part.rows[1]["status"] == "synth_error"
    assert part.rows[GROUP]["status"] == "decode_error"
    assert all(bool(made.image) == (layout == "paired") for made in part.made)


def test_what_keeps_a_run_from_reading_is_no_row(photos: Path) -> None:
    def read(item):
        raise InputError("s3://bucket needs a package")

    items = list(open_source(photos).items())[:2]
    settings = settings_of(SynthConfig(str(photos), "unused"), "folder")
    with pytest.raises(InputError, match="needs a package"):
        process_part(items, ["a", "b"], settings, read)

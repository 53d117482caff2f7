"""`texneg sheet`: pictures, titles, what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.encode import encode
from texneg.datasets.images import open_images
from texneg.datasets.pairs import pair
from texneg.errors import InputError
from texneg.patches.patches import patch_permutation
from texneg.synth.preview import Preview, preview_textures
from texneg.synth.task.images import image_seed
from texneg.textures.exemplars import exemplars
from texneg.textures.texture import texture
from texneg.train.negatives import KINDS, Negatives
from texneg.train.options import parse_option
from texneg.train.sheet.page import GAP, HEADER, Strip, cut_square, lay_out
from texneg.train.sheet.sheet import SheetConfig, contact_sheet, sheet

Run = Callable[..., Path]


def draw(images, textures=None, path="", *, columns=("patch", "texture"), exemplar_size=24, **options):
    """A sheet of three images at 32 px."""
    preview = preview_textures(images, textures, path, exemplar_size=exemplar_size)
    return contact_sheet(images, negatives(columns), preview, **{"count": 3, "side": 32} | options)[0]


def negatives(columns):
    return [Negatives.of(*(parse_option(KINDS, one, "") for one in text.split("+"))) for text in columns]


def test_sheet_shows_image_patch_and_texture(photos: Path, run: Run, tmp_path: Path) -> None:
    dst = run(photos)
    out = tmp_path / "sheet.png"
    assert sheet(SheetConfig(str(photos), str(out), textures=str(dst), count=3, size=32)) == 0
    shown = open_images(tmp_path)  # the PNG is an image like any other
    assert shown.keys.index("sheet") >= 0
    images, textures = open_images(photos), open_images(dst)
    given, made = (draw(images, source, path) for source, path in ((textures, str(dst)), (None, "")))
    np.testing.assert_array_equal(given, made)
    assert given.std() > 10


def test_sheet_says_when_there_is_nothing_to_show(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the 24 images .* can be shown"):
        sheet(SheetConfig(str(photos), str(tmp_path / "x.png"), exemplar_size=1000))


@pytest.mark.parametrize("side", [16, 48, 64, 100, 128, 224])
def test_titles_stay_above_their_pictures(photos: Path, side: int) -> None:
    page = draw(open_images(photos), count=2, side=side)
    block = page.shape[1] // 2
    for picture in range(6):
        left = picture // 3 * block + GAP + picture % 3 * (side + GAP)
        between = page[:HEADER, left + side + 2 : left + side + GAP - 1]
        assert (between == 255).all()
    assert (page[:HEADER] < 255).any() == (side > 16)


def test_size_of_the_patch_negatives_patches(photos: Path, tmp_path: Path) -> None:
    images = open_images(photos)
    whole = draw(images, columns=("patch:size=32-32", "texture"), count=1)
    picture = Image.fromarray(whole[HEADER : HEADER + 32, 2 * GAP + 32 : 2 * GAP + 64])
    squares = (Image.fromarray(images[i][0][:, 10:70]).resize((32, 32)) for i in range(len(images)))
    assert picture in list(squares)  # one patch is the whole picture
    for wrong in ((0, 8), (9, 8), (8, 33)):
        kind = f"patch:size={wrong[0]}-{wrong[1]}"
        with pytest.raises(InputError, match=f"--kinds {kind}: .* between 1 and --size 32"):
            sheet(SheetConfig(str(photos), str(tmp_path / "x.png"), kinds=(kind,), size=32))
    with pytest.raises(InputError, match=r"give a name that ends in \.png"):
        sheet(SheetConfig(str(photos), str(tmp_path)))


def test_sheet_of_very_long_images(tmp_path: Path) -> None:
    long = np.random.default_rng(0).integers(0, 256, (30, 3000, 3), np.uint8)
    (tmp_path / "long.png").write_bytes(encode(long, "png"))
    assert draw(open_images(tmp_path), side=16, count=1).shape[2] == 3


def test_sheet_of_textures_with_appended_names(photos: Path, run: Run) -> None:
    images = open_images(photos)
    folders = [run(photos, name, naming=name) for name in ("replace", "append")]
    plain, appended = map(open_images, folders)
    sheets = [draw(images, made, str(path)) for made, path in zip((plain, appended), folders, strict=True)]
    assert sheets[0].shape == sheets[1].shape
    for i, j in enumerate(pair(images, appended).tolist()):
        own = image_seed(0, images.name(i))
        made = texture(exemplars(images[i][0], size=24, seed=own), size=32, seed=own)
        np.testing.assert_array_equal(appended[j][0], made)


LIVE = (
    "patch:size=5-6",
    "patch:paper,size=5-6",
    "patch:no-overlap,size=5-6",
    "patch_permutation:size=5-6",
    "patch:flip,rotate,size=5-6",
    "texture_live",
)


def test_each_kind_has_its_column_and_its_own_picture(photos: Path) -> None:
    images = open_images(photos)
    page, _ = contact_sheet(images, negatives(LIVE), count=3, side=48, seed=5)
    assert page.shape[1] == 7 * (48 + GAP) + 2 * GAP
    columns = [
        page[HEADER : HEADER + 48, left : left + 48] for left in range(GAP, page.shape[1] - 48, 48 + GAP)
    ]
    assert len(columns) == 7
    assert len({column.tobytes() for column in columns}) == 7
    views = [cut_square(images[i][0], 48)[None] for i in range(len(images))]
    expected = [patch_permutation(view, size=(5, 6), seed=5, index=[i])[0, 0] for i, view in enumerate(views)]
    assert any(np.array_equal(columns[4], own) for own in expected)
    assert (page[HEADER : HEADER + 48] != 255).any()


def test_columns_stand_side_by_side_as_many_as_the_page_is_wide(photos: Path) -> None:
    images = open_images(photos)
    one, two, many = (contact_sheet(images, negatives(LIVE[:n]), count=3, side=48)[0] for n in (1, 2, 5))
    assert [page.shape[1] // (48 + GAP) for page in (one, two, many)] == [6, 6, 6]
    assert one.shape[0] < two.shape[0] < many.shape[0]


def test_the_first_title_that_fits_is_shown() -> None:
    blank = [Strip("", [np.full((side, side, 3), 255, np.uint8)]) for side in (300, 70, 16)]
    titles = [("a title far too long for seventy pixels", "short")]
    inked = [(lay_out([strip], titles)[:HEADER] < 255).any(axis=(0, 2)).nonzero()[0] for strip in blank]
    assert inked[0].max() > 150
    assert 0 < inked[1].max() < 60
    assert not len(inked[2])


def test_an_image_enlarged_for_its_texture_has_the_same_other_negatives(photos: Path) -> None:
    images = open_images(photos)
    enlarging = Preview(images, None, None, 0, 96, "upscale", False)
    alone, _ = contact_sheet(images, negatives(["patch"]), count=1, side=32)
    beside, _ = contact_sheet(images, negatives(["patch", "texture"]), enlarging, count=1, side=32)
    left = 2 * GAP + 32
    shown = [page[HEADER : HEADER + 32, left : left + 32] for page in (alone, beside)]
    np.testing.assert_array_equal(*shown)
    assert shown[0].std() > 10


def test_titles_of_all_kinds_fit_at_the_default_size() -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(13)
    assert all(font.getlength(kind.name) <= 128 for kind in KINDS)


def test_a_mixture_is_a_column_and_textures_from_files_are_none_of_it(photos: Path, tmp_path: Path) -> None:
    images = open_images(photos)
    mixed, _ = contact_sheet(images, negatives(["patch:size=5-6+texture_live"]), count=3, side=48)
    assert mixed.shape[2] == 3
    with pytest.raises(InputError, match="--kinds patch\\+texture: textures from files have a column"):
        sheet(SheetConfig(str(photos), str(tmp_path / "x.png"), kinds=("patch+texture",)))


def test_kinds_that_cannot_be_drawn_are_named(photos: Path, tmp_path: Path) -> None:
    def config(**changes: object) -> SheetConfig:
        return SheetConfig(str(photos), str(tmp_path / "x.png"), **changes)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="--kinds: name one or more of patch, patch_permutation, "):
        sheet(config(kinds=()))
    with pytest.raises(InputError, match=r"none of these sides divides --size 97"):
        sheet(config(kinds=("patch_permutation",), size=97))
    assert sheet(config(kinds=("patch_permutation:size=97-97",), size=97, count=1)) == 0


@pytest.mark.parametrize(("channels", "depth"), [(8, "uint16"), (2, "uint8"), (1, "float32"), (3, "uint16")])
def test_images_of_other_channels_and_depths_are_shown_and_named(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], channels: int, depth: str
) -> None:
    src = tmp_path / "src"
    src.mkdir()
    for i in range(4):
        blocks = np.kron(np.random.default_rng(i).random((8, 10, channels)), np.ones((6, 6, 1)))
        np.save(src / f"{i}.npy", (blocks * 200).astype(depth))
    dst = run(src, encoding="tiff")
    kinds = ("patch", "patch:mirror=2,blend=0.3", "texture", "texture_live")
    out = str(tmp_path / "sheet.png")
    given = {"textures": str(dst), "count": 3, "size": 32, "as_stored": True}
    assert sheet(SheetConfig(str(src), out, kinds=kinds, **given)) == 0
    words = {1: "grey of", 3: "RGB of", 2: "2 channels of", 8: "8 channels of"}[channels]
    assert f"px; {words} {depth}" in capsys.readouterr().out
    with Image.open(out) as page:
        assert np.asarray(page).std() > 10
    preview = preview_textures(open_images(src, stored=True), None, "", exemplar_size=24)
    made, note = contact_sheet(open_images(src, stored=True), negatives(kinds), preview, count=3, side=32)
    assert note
    with Image.open(out) as page:
        np.testing.assert_array_equal(np.asarray(page), made)
    np.save(src / "odd.npy", np.zeros((50, 60, 5), np.uint8))
    with pytest.raises(InputError, match=r"is uint8 x 5, and|is .*, and odd is uint8 x 5"):
        sheet(SheetConfig(str(src), out, kinds=("patch",), count=5, size=32, as_stored=True))

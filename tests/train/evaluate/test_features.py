"""Features: the transform, the guard on weights and statistics, the cache, bad images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from texneg.datasets.decode import decode
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train.evaluate.encoders import evaluation_mode
from texneg.train.evaluate.features import crop, extract, pass_in_pieces, to_network_input
from texneg.train.networks.preprocessing import Preprocessing


def torchvisions(image, preprocessing):
    """Crop with the transforms of torchvision."""
    kind = InterpolationMode(preprocessing.interpolation)
    resize = transforms.Resize(preprocessing.resized, interpolation=kind)
    return np.asarray(transforms.CenterCrop(preprocessing.image_size)(resize(image)))


def test_a_large_image_is_resized_by_256_224_and_cut_in_the_middle():
    ramp = np.broadcast_to(np.arange(512, dtype=np.float64)[None, :, None] / 2, (256, 512, 3)).astype(
        np.uint8
    )
    cut = crop(ramp, Preprocessing(224))
    assert cut.shape == (224, 224, 3)
    np.testing.assert_array_equal(cut, ramp[16:240, 144:368])


def test_sizes_are_torchvisions_for_every_image_up_to_600_px():
    """Longer sides are cut down to whole pixels, not rounded: 88 of 250 photographs show the difference."""
    for preprocessing in (Preprocessing(224), Preprocessing(224, crop=0.9), Preprocessing(65)):
        for short in range(1, 601):
            for long in range(short, 601):
                size, _, _ = preprocessing.plan(short, long)
                expected = preprocessing.resized, int(preprocessing.resized * long / short)
                assert size == expected[::-1]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_are_torchvisions_to_the_byte(interpolation):
    draw = np.random.default_rng(0)
    sizes = [(h, w) for h in (1, 2, 9, 31, 64, 600) for w in range(1, 601, 7)]
    for side, share in ((7, 0.875), (8, 0.8)):
        preprocessing = Preprocessing(side, interpolation=interpolation, crop=share, resize="torchvision")
        for height, width in [*sizes, *((w, h) for h, w in sizes[::5])]:
            pixels = draw.integers(0, 256, (height, width, 3), np.uint8)
            expected = torchvisions(Image.fromarray(pixels), preprocessing)
            np.testing.assert_array_equal(crop(pixels, preprocessing), expected)


def test_crops_of_the_photographs_are_torchvisions(photographs):
    usual = Preprocessing()
    official = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    for path in sorted(photographs.rglob("*.JPEG")):
        with Image.open(path) as image:
            expected = np.asarray(official(image.convert("RGB")))
        np.testing.assert_array_equal(crop(decode(path.read_bytes()).pixels, usual), expected)


def test_images_cut_to_size_are_taken_as_they_are():
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for preprocessing in (Preprocessing(64), Preprocessing(64, resize="no-enlargement")):
        np.testing.assert_array_equal(crop(pixels, preprocessing), pixels)
        assert crop(draw.integers(0, 256, (64, 70, 3), np.uint8), preprocessing).shape == (64, 64, 3)
        assert (crop(np.full((9, 30, 3), 7, np.uint8), preprocessing) == 7).all()
    enlarged = Preprocessing(64, resize="torchvision")
    np.testing.assert_array_equal(crop(pixels, enlarged), torchvisions(Image.fromarray(pixels), enlarged))
    large = draw.integers(0, 256, (224, 224, 3), np.uint8)
    assert not np.array_equal(crop(large, Preprocessing(224)), large)
    np.testing.assert_array_equal(crop(large, Preprocessing(224, resize="no-enlargement")), large)
    assert len({Preprocessing(64, resize=one).transform for one in ("torchvision", "no-enlargement")}) == 2
    assert Preprocessing(64).transform == Preprocessing(64, resize="no-enlargement").transform


def test_normalise(encoder):
    x = to_network_input(torch.full((2, 16, 16, 3), 255, dtype=torch.uint8), encoder)
    assert x.shape == (2, 3, 16, 16)
    assert (x == 2).all()


def test_weights_statistics_and_modes_are_untouched(encoder, colours):
    encoder.body[1].eval()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    modes = [part.training for part in encoder.modules()]
    extract(encoder, open_images(colours("set")), batch=5)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert [part.training for part in encoder.modules()] == modes
    with pytest.raises(RuntimeError, match="stop"), evaluation_mode(encoder):
        assert not any(part.training for part in encoder.modules())
        raise RuntimeError("stop")
    assert [part.training for part in encoder.modules()] == modes


def test_features_follow_the_set_whatever_the_batch(encoder, colours):
    images = open_images(colours("set"))
    one, many = (extract(encoder, images, batch=batch) for batch in (1, 100))
    torch.testing.assert_close(one.values, many.values)
    assert one.keys == images.keys
    assert one.labels.tolist() == images.labels.tolist()
    assert one.values.shape == (36, 24)
    flipped = extract(encoder, images, flip=True)
    assert not torch.allclose(one.values, flipped.values)


def test_the_cache_answers_until_weights_or_data_change(encoder, colours, tmp_path, monkeypatch):
    folder, cache = colours("set"), str(tmp_path / "cache")
    first = extract(encoder, open_images(folder), cache=cache)
    monkeypatch.setattr(type(encoder), "forward", lambda *_: pytest.fail("the cache was not used"))
    again = extract(encoder, open_images(folder), cache=cache)
    assert torch.equal(first.values, again.values)
    monkeypatch.undo()
    with torch.no_grad():
        encoder.body[0].bias += 1
    changed = extract(encoder, open_images(folder), cache=cache)
    assert not torch.equal(first.values, changed.values)
    known = fingerprint(open_images(folder))
    (folder / "red" / "red0.png").unlink()
    assert fingerprint(open_images(folder)) != known
    assert len(extract(encoder, open_images(folder), cache=cache).values) == 35


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:100],
        lambda whole: whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
        lambda whole: whole.replace(b"why", b"who"),
        lambda whole: b"no archive",
    ],
    ids=["empty", "cut", "flipped", "renamed", "text"],
)
def test_a_damaged_cache_is_made_again(encoder, colours, tmp_path, damage):
    folder, cache = colours("set"), tmp_path / "cache"
    first = extract(encoder, open_images(folder), cache=str(cache))
    (kept,) = cache.glob("features-*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert kept.read_bytes() != whole
    again = extract(encoder, open_images(folder), cache=str(cache))
    assert torch.equal(first.values, again.values)
    with np.load(kept) as file:
        assert np.array_equal(file["values"], first.values.numpy())


def test_a_remade_image_of_another_size_changes_the_fingerprint(colours):
    folder = colours("set")
    known = fingerprint(open_images(folder))
    assert fingerprint(open_images(folder)) == known
    with (folder / "red" / "red0.png").open("ab") as file:
        file.write(b"more")
    assert fingerprint(open_images(folder)) != known


def test_a_batch_holds_an_image(encoder, colours):
    with pytest.raises(InputError, match="--batch 0: at least 1"):
        extract(encoder, open_images(colours("set")), batch=0)


def test_an_unreadable_image_is_named(encoder, colours):
    folder = colours("set")
    broken = folder / "green" / "green7.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(InputError, match=r"green/green7.*(replace|take)"):
        extract(encoder, open_images(folder))


@pytest.mark.parametrize("images", [1, 16, 17, 40])
def test_a_network_in_pieces_gives_what_it_gives_at_once(images):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten()).eval()
    x = torch.rand(images, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    seen = []
    with torch.inference_mode():
        made = pass_in_pieces(lambda piece: seen.append(len(piece)) or network(piece), x)
        torch.testing.assert_close(made, network(x))
    assert sum(seen) == images
    assert max(seen) <= 16

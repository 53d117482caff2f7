"""Features: the transform, the guard on weights and statistics, the cache, bad images."""

import numpy as np
import pytest
import torch

from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train.evaluate.features import crop, evaluation_mode, extract, to_network_input
from texneg.train.networks.preprocessing import Preprocessing


def test_a_large_image_is_resized_by_256_224_and_cut_in_the_middle():
    ramp = np.broadcast_to(np.arange(512, dtype=np.float64)[None, :, None] / 2, (256, 512, 3)).astype(
        np.uint8
    )
    cut = crop(ramp, Preprocessing(224))
    assert cut.shape == (224, 224, 3)
    np.testing.assert_array_equal(cut, ramp[16:240, 144:368])


def test_a_small_image_fills_the_encoder():
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert crop(pixels, Preprocessing(64)) is not pixels
    np.testing.assert_array_equal(crop(pixels, Preprocessing(64)), pixels)
    np.testing.assert_array_equal(
        crop(draw.integers(0, 256, (64, 70, 3), dtype=np.uint8), Preprocessing(64)).shape, (64, 64, 3)
    )
    assert (
        crop(np.full((9, 30, 3), 7, np.uint8), Preprocessing(64)).tolist() == np.full((64, 64, 3), 7).tolist()
    )


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

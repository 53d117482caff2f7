import numpy as np
import pytest

from texneg.bench.common.portilla import (
    ORIENTATIONS,
    autocorrelation,
    crop_spectrum,
    portilla_distances,
    portilla_statistics,
    steerable_pyramid,
)


def wave(angle, period, side=96):
    y, x = np.mgrid[:side, :side]
    return np.cos(2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle)))


def noise(seed, side=96, grain=1):
    small = np.random.default_rng(seed).integers(0, 256, (side // grain, side // grain, 3), dtype=np.uint8)
    return small.repeat(grain, axis=0).repeat(grain, axis=1)


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
@pytest.mark.parametrize(("scale", "period"), [(0, 3), (1, 6), (2, 12)])
def test_a_wave_lies_in_the_band_of_its_direction_and_scale(orientation, scale, period):
    _, bands, _ = steerable_pyramid(wave(np.pi * orientation / ORIENTATIONS, period)[None])
    energy = np.array([(np.abs(band[0]) ** 2).mean(axis=(1, 2)) for band in bands])
    assert np.unravel_index(energy.argmax(), energy.shape) == (scale, orientation)


def test_the_pyramid_keeps_the_energy():
    image = np.random.default_rng(0).standard_normal((1, 96, 96))
    high, bands, lows = steerable_pyramid(image)
    oriented = sum((np.abs(band) ** 2).mean(axis=(0, 2, 3)).sum() for band in bands)
    # the sum over 4 directions of cos^6 is 5/4; an analytic band has twice the energy of its real part
    total = (high**2).mean() + oriented / (5 / 4) / 2 + (lows[-1] ** 2).mean()
    assert total == pytest.approx((image**2).mean(), rel=0.01)


def test_cropping_a_spectrum_is_taking_every_second_pixel_of_a_smooth_image():
    image = wave(0.0, 24) + wave(np.pi / 2, 16)
    half = np.fft.ifft2(crop_spectrum(np.fft.fft2(image))).real
    assert np.allclose(half, image[::2, ::2])


def test_autocorrelation_of_a_wave():
    lags = autocorrelation(wave(0.0, 12)[None])
    assert len(lags) == 24
    assert lags[2][0] == pytest.approx(np.cos(2 * np.pi * 3 / 12), abs=1e-6)  # three pixels to the right


def test_turning_by_a_right_angle_moves_the_bands_by_two():
    image = np.random.default_rng(1).standard_normal((1, 96, 96))
    _, bands, _ = steerable_pyramid(image)
    _, turned, _ = steerable_pyramid(np.rot90(image, axes=(1, 2)))
    sizes, moved = np.abs(bands[1][0]).mean(axis=(1, 2)), np.abs(turned[1][0]).mean(axis=(1, 2))
    assert np.allclose(np.roll(sizes, 2), moved, rtol=0.05)


def test_statistics_are_finite_even_of_flat_images():
    images = np.stack([np.full((48, 48, 3), 128, np.uint8), noise(0, 48)])
    statistics = portilla_statistics(images)
    assert len(statistics) == 2
    assert np.isfinite(statistics).all()


def test_an_exemplar_is_at_no_distance_from_itself_and_others_are_ranked():
    exemplars = [[noise(2 * k, grain=g), noise(2 * k + 1, grain=g)] for k, g in enumerate((1, 2, 4, 8))]
    alike = [np.tile(pair[0], (2, 2, 1))[:160, :160] for pair in exemplars]
    assert np.allclose(portilla_distances([e[0] for e in exemplars], [[e[0]] for e in exemplars]), 0)
    near = portilla_distances(alike, exemplars)
    far = portilla_distances(alike[::-1], exemplars)
    assert (near * 2 < far).all()

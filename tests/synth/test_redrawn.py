"""`texneg synth --max-leak`: squares drawn again while an encoder sees too much of the image."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from texneg.datasets.images import open_images
from texneg.datasets.storage.json_files import parse_json
from texneg.errors import InputError
from texneg.synth.status import StatusConfig, synth_status
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.task import redrawn
from texneg.synth.task.images import image_seed
from texneg.synth.verify import VerifyConfig, verify
from texneg.textures.exemplars import exemplars
from texneg.textures.texture import texture
from texneg.train.evaluate.features import crop, to_network_input
from texneg.train.networks.backbone import Architecture, Network
from texneg.train.networks.encoder import export_encoder, load_encoder

Run = Callable[..., Path]
Rows = Callable[[Path], list[dict[str, Any]]]
State = Callable[[Path], Any]
TRIES = 3


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small network."""
    torch.manual_seed(0)
    network = Network(Architecture("resnet18", "stride2", width=8), image_size=32)
    path = tmp_path_factory.mktemp("weights") / "encoder.pt"
    torch.save(export_encoder(network, info={}), path)
    return path


@pytest.fixture(scope="module")
def limit(photos: Path, encoder: Path) -> float:
    """The median leak of first tries, so that about half of the images are drawn again."""
    leaks = [measure(photos, encoder, i, 0)[1] for i in range(len(open_images(photos)))]
    return float(np.median(leaks))


open_encoder = cache(load_encoder)


@cache
def measure(photos: Path, encoder: Path, i: int, number: int) -> tuple[Any, float, int]:
    """Texture, leak and seed of a try, by plain calls of the library."""
    images, network = open_images(photos), open_encoder(str(encoder))
    pixels = images[i][0]
    seed = image_seed(0, images.keys[i] + (f"\0{number}" if number else ""))
    made = texture(exemplars(pixels, size=24, seed=seed), size=32, seed=seed)
    with torch.inference_mode():
        shown = [torch.from_numpy(crop(x, network.preprocessing).copy())[None] for x in (pixels, made)]
        a, b = (network(to_network_input(x, network))[0].double() for x in shown)
    return made, float(a @ b / (a.norm() * b.norm())), seed


def redraw(encoder: Path, limit: float) -> dict[str, Any]:
    return {"max_leak": limit, "leak_encoder": str(encoder), "leak_tries": TRIES}


def test_the_first_try_at_or_below_the_limit_is_taken_or_else_the_least(
    photos: Path, run: Run, manifest: Rows, encoder: Path, limit: float
) -> None:
    dst = run(photos, **redraw(encoder, limit))
    images, textures, taken = open_images(photos), open_images(dst), set()
    for i, row in enumerate(manifest(dst)):
        assert row["key"] == images.keys[i] == textures.keys[i]
        tries = [measure(photos, encoder, i, number) for number in range(TRIES)]
        leaks = [leak for _, leak, _ in tries]
        below = [number for number, leak in enumerate(leaks) if leak <= limit + 1e-4]
        number = row["leak_try"]
        assert number == (below[0] if below else int(np.argmin(leaks)))
        assert row["leak"] == pytest.approx(leaks[number], abs=1e-4)
        assert row["image_seed"] == tries[number][2]
        np.testing.assert_array_equal(textures[i][0], tries[number][0])
        taken.add(number)
    assert taken == set(range(TRIES))


def test_turned_squares_are_drawn_again_too(
    photos: Path, run: Run, manifest: Rows, encoder: Path, limit: float
) -> None:
    dst = run(photos, "turned", exemplars="turned", exemplar_size=12, **redraw(encoder, limit / 2))
    images, textures = open_images(photos), open_images(dst)
    for i, row in enumerate(manifest(dst)):
        patches = exemplars(images[i][0], size=12, seed=row["image_seed"], turned=True)
        made = texture(patches, size=32, seed=row["image_seed"], levels=3)
        np.testing.assert_array_equal(textures[i][0], made)


def test_bytes_do_not_depend_on_kills_parts_or_workers(
    photos: Path, run: Run, state: State, encoder: Path, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = redraw(encoder, limit)
    whole = state(run(photos, **options))
    work, left = redrawn.REDRAWN, iter(range(9))

    def kill(*given: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return work.make(*given)

    with monkeypatch.context() as patched:
        patched.setattr("texneg.synth.task.corrupted.REDRAWN", work._replace(make=kill))
        with pytest.raises(AssertionError, match="130"):  # interrupted
            run(photos, "killed", part_size=4, **options)
    assert state(run(photos, "killed", part_size=4, **options)) == whole
    assert state(run(photos, "workers", executor="dask", workers=1, part_size=12, **options)) == whole


def test_status_and_verify_know_of_it(
    photos: Path, run: Run, manifest: Rows, encoder: Path, limit: float, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = run(photos, **redraw(encoder, limit))
    rows = manifest(dst)
    again = sum(row["leak_try"] > 0 for row in rows)
    above = sum(row["leak"] > limit for row in rows)
    capsys.readouterr()
    synth_status(StatusConfig(str(dst)))
    line = f"  {again} drawn again for a leak above {limit:g}, {above} still above it"
    assert line in capsys.readouterr().out.splitlines()
    synth_status(StatusConfig(str(dst), json=True))
    found = json.loads(capsys.readouterr().out)
    assert (found["max_leak"], found["redrawn"], found["above_max_leak"]) == (limit, again, above)
    assert verify(VerifyConfig(str(dst), str(photos), resynth=6)) == 0
    record = parse_json((dst.with_name(f"{dst.name}.texneg") / "config.json").read_bytes())
    assert record["settings"]["redrawing"]["leak_encoder"] == str(encoder.resolve())
    with pytest.raises(InputError, match="max_leak"):
        run(photos)


def test_other_weights_are_refused(
    photos: Path, run: Run, encoder: Path, limit: float, tmp_path: Path
) -> None:
    own = tmp_path / "own.pt"
    own.write_bytes(encoder.read_bytes())
    run(photos, **redraw(own, limit))
    torch.manual_seed(1)
    network = Network(Architecture("resnet18", "stride2", width=8), image_size=32)
    torch.save(export_encoder(network, info={}), own)
    with pytest.raises(InputError, match="leak_fingerprint: "):
        run(photos, **redraw(own, limit))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_leak": 1.5}, "--max-leak 1.5: allowed is a cosine above 0 and below 1, such as 0.3"),
        ({"max_leak": 0.3}, "--max-leak 0.3: an encoder measures it; give one with --leak-encoder"),
        ({"leak_encoder": "x.pt"}, "--leak-encoder: give the limit, too, such as --max-leak 0.3"),
        ({"max_leak": 0.3, "leak_encoder": "absent.pt"}, "--leak-encoder absent.pt: "),
        ({"max_leak": 0.3, "leak_encoder": "x.pt", "leak_tries": 0}, "--leak-tries 0: allowed is 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    photos: Path, run: Run, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as error:
        run(photos, **options)
    assert message in str(error.value)


def test_runs_without_a_limit_have_no_leak(photos: Path, run: Run, manifest: Rows) -> None:
    assert {(row["leak"], row["leak_try"]) for row in manifest(run(photos))} == {(None, None)}


def test_old_squares_stay_reachable(photos: Path, tmp_path: Path) -> None:
    """What a run without any option made before is one of --exemplars paper."""
    dst = tmp_path / "out"
    options = {"size": 32, "executor": "sync"}
    assert synth(SynthConfig.flat(str(photos), str(dst), exemplars="paper", **options)) == 0
    images, textures = open_images(photos), open_images(dst)
    seed = image_seed(0, images.keys[0])
    made = texture(exemplars(images[0][0], size=26, seed=seed), size=32, seed=seed)
    np.testing.assert_array_equal(textures[0][0], made)
    record = tmp_path / "out.texneg" / "config.json"
    stored = json.loads(record.read_text())
    assert stored["settings"].pop("exemplars") == "paper"
    record.write_text(json.dumps(stored))
    assert synth(SynthConfig.flat(str(photos), str(dst), **options)) == 0
    with pytest.raises(InputError, match="exemplars: paper -> turned"):
        synth(SynthConfig.flat(str(photos), str(dst), exemplars="turned", **options))

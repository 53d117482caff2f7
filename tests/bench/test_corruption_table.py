"""The benchmark of a table of corruptions: which images it takes, whose time it counts; never its speed."""

import threading

import numpy as np
import pytest
from PIL import Image

from texneg.bench import corruption_table as table
from texneg.errors import InputError
from texneg.train.evaluate import ood
from texneg.train.evaluate.sets import corruptions


def test_images_are_spread_evenly_over_folders(tmp_path):
    for name in "abcd":
        (tmp_path / "all" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "all" / name / f"{i}.png")
    assert table.choose_images(tmp_path / "all", tmp_path / "some", 4) == 4
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["a", "b", "c", "d"]
    assert table.choose_images(tmp_path / "all", tmp_path / "more", 100) == 12
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no class folders"):
        table.choose_images(tmp_path / "none", tmp_path / "no", 4)


def test_a_clock_adds_the_time_of_threads():
    clock = table.Clock()
    work = clock.wrap("work", lambda n: sum(range(n)))
    threads = [threading.Thread(target=work, args=(200_000,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work(10) == 45
    assert clock.seconds["work"] > 0


def test_what_is_watched_is_as_it_was_afterwards():
    before = [names[name] for names, name in table.PATCHED]
    with table.watch(table.Clock()):
        assert corruptions.__dict__["corrupt"] is not before[0]
        assert ood.__dict__["open_encoder"] is not before[2]
    assert [names[name] for names, name in table.PATCHED] == before
    assert table.read_resident() > 10

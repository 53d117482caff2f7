"""Pictures that analyses left in run folders: each is shown, equal ones once."""

import json

import numpy as np
from PIL import Image

from texneg.cli.main import main
from texneg.train.evaluate.analyses.neighbours import SHEET

FOUND = {"k": 2, "same": [0.5, 0.4], "cosine": [0.9, 0.8], "head": True, "sheet": SHEET, "encoder": "e"}


def write_run(folder, level):
    folder.mkdir()
    (folder / "neighbours.json").write_text(json.dumps({**FOUND, "encoder": folder.name}))
    Image.fromarray(np.full((40, 60, 3), level, np.uint8)).save(folder / SHEET)
    return str(folder)


def test_each_picture_is_shown_and_equal_ones_once(tmp_path):
    runs = [write_run(tmp_path / name, level) for name, level in (("a", 10), ("b", 200), ("c", 10))]
    out = tmp_path / "page.html"
    assert main(["report", *runs, "--out", str(out)]) == 0
    page = out.read_text()
    assert page.count('alt="Nearest neighbours: pictures of') == 2
    assert "<summary>Pictures of b</summary>" in page
    (tmp_path / "a" / SHEET).unlink()
    assert main(["report", runs[0], "--out", str(out)]) == 0
    assert 'alt="Nearest' not in out.read_text()

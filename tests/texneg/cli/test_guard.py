"""Scripts without a `__main__` guard that start processes: one line, whichever call they make."""

import subprocess
import sys
from pathlib import Path

import pytest

SYNTH = """
import sys
from texneg.cli.main import main
sys.exit(main(["synth", {src!r}, {dst!r}, "--size", "32", "--exemplar-size", "24", "--workers", "2"]))
"""
CONFIG = """
from texneg.synth.synth import SynthConfig, synth
print("status", synth(SynthConfig.flat({src!r}, {dst!r}, size=32, exemplar_size=24, workers=2)))
"""
STUDY = """
from texneg.train.flags import change
from texneg.train.recipes import find_recipe
from texneg.train.study import Study, run_study
base = change(find_recipe("demo"), data={src!r}, epochs=1, batch=16, bn_group=16, queue=16)
run_study(Study({dst!r}, {{"one": base}}, (), seeds=1), processes=2, threads=1, log=print)
"""


@pytest.mark.parametrize("script", [SYNTH, CONFIG, STUDY], ids=["main", "synth", "study"])
def test_a_call_without_a_guard_is_one_line(photos: Path, tmp_path: Path, script: str) -> None:
    path = tmp_path / "script.py"
    path.write_text(script.format(src=str(photos), dst=str(tmp_path / "out")))
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 2, done.stderr
    *settings, last = done.stderr.splitlines()
    assert last.endswith('put its calls below a line if __name__ == "__main__":')
    assert len(settings) == (0 if script is STUDY else 2)
    assert "steal-lock" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*.webp"))


def test_a_script_that_only_calls_after_the_import_may_start_processes(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    calls = SYNTH.format(src=str(photos), dst=str(tmp_path / "out")).replace("\nsys.exit", "\n    sys.exit")
    path.write_text(calls.replace("    sys.exit", 'if __name__ == "__main__":\n    sys.exit'))
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("*.webp"))) == 24

"""Paths that are not UTF-8: refused as places of a run, read where a ledger names them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from texneg.datasets.storage.json_files import write_json
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import load_record
from texneg.synth.plan.plan import load_plan
from texneg.synth.status import StatusConfig, synth_status
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify


@pytest.mark.parametrize("at", ["src", "dst", "ledger", "cwd"])
def test_a_path_that_is_not_utf8_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    odd = tmp_path / "s\udcff"
    places = {"src": photos, "dst": tmp_path / "out", "ledger": tmp_path / "ledger", at: odd}
    if at == "src":
        shutil.copytree(photos, odd)
    if at == "cwd":
        odd.mkdir()
        monkeypatch.chdir(odd)
        places["dst"] = Path("out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"/s%FF.*: the path is not UTF-8; rename it"):
        synth(SynthConfig.flat(str(places["src"]), str(places["dst"]), ledger=str(places["ledger"])))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_whose_name_is_not_utf8_may_break_off(shards: Path, tmp_path: Path) -> None:
    src, dst = tmp_path / "src", tmp_path / "out"
    src.mkdir()
    (src / "s\udcff.tar").write_bytes((shards / "00000.tar").read_bytes()[:-20000])
    flat = SynthConfig.flat(str(src), str(dst), size=32, exemplar_size=24, executor="sync")
    for _ in range(2):
        with pytest.raises(RunFailed, match="break off: 1"):
            synth(flat)
    assert verify(VerifyConfig(str(dst))) == 0
    assert synth_status(StatusConfig(str(dst))) == 0
    shutil.copy(shards / "00000.tar", src / "s\udcff.tar")
    assert synth(flat) == 0


def test_a_ledger_that_names_such_a_path_is_read(photos: Path, run: Callable[..., Path]) -> None:
    dst = run(photos)
    ledger = Ledger(dst.with_name("out.texneg"), dst)
    stored = load_record(ledger)
    config = ledger.config.read_bytes()
    ledger.config.write_bytes(config.replace(str(photos).encode(), b"/s\xff"))
    assert load_record(ledger).src == "/s\udcff" != stored.src
    write_json(ledger.sources, {"compared": 0, "emptied": ["\udcff"]})
    assert load_plan(ledger.plan).images
    assert synth_status(StatusConfig(str(dst))) == 0
    assert verify(VerifyConfig(str(dst))) == 0

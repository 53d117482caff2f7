"""`texneg doctor` tells what is there, and names a remedy for what is in the way."""

import resource
from importlib import metadata

import pytest

from texneg.cli import doctor
from texneg.cli.main import main


def test_output_names_every_dependency_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    for name in ("torch", "numba", "dask", "tyro"):
        assert ["  " + name, name, metadata.version(name)][1:] in lines
    assert "Nothing is in the way." in shown


def test_missing_and_old_packages_have_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["numpy>=999", "no-such-package>=1.5", "absent>=1; extra == 's3'", "absent>=1; extra == 'dev'"]
    monkeypatch.setattr(doctor, "requires", lambda _: wanted)
    found = {finding.name: finding for finding in doctor.find_packages()}
    assert list(found) == ["numpy", "no-such-package"]
    assert found["numpy"].value.startswith(metadata.version("numpy"))
    assert found["numpy"].remedy == 'pip install "numpy>=999"'
    assert found["no-such-package"].remedy == 'pip install "no-such-package>=1.5"'
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "! no-such-package" in shown
    assert 'no-such-package: pip install "no-such-package>=1.5"' in shown


def test_few_open_files_have_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 4096))
    found = {finding.name: finding for finding in doctor.find_files()}
    assert "ulimit -n" in found["open files"].remedy


def test_home_folder_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert doctor.hide_home("/home/someone/bin/python") == "~/bin/python"
    assert doctor.hide_home("/home/someone-else/python") == "/home/someone-else/python"

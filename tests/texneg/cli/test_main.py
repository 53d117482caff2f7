"""The command line's front door: fast, free of heavy imports, and clear about wrong use."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import pytest

import texneg
from texneg.bench.bench import BENCHMARKS
from texneg.cli.main import VERBS, find, load, main
from texneg.train import convert

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "numba", "numpy", "dask", "distributed", "cv2", "tyro")


def python(*arguments, cwd=None):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_help_lists_every_verb_and_imports_nothing_heavy():
    code = (
        "import sys; from texneg.cli.main import main; assert main(['--help']) == 0;"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = python("-c", code)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    for verb, (_, summary) in VERBS.items():
        assert f"  {verb} " in done.stdout
        assert summary in done.stdout


def test_the_module_runs_as_a_program():
    done = python("-m", "texneg", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, texneg.__version__)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_opened_and_its_number_is_no_files(closed, tmp_path):
    code = (
        "import subprocess, sys; from texneg.cli.main import main; status = main(['--version']);"
        "print('lost', file=sys.stderr); file = open('file', 'w');"
        "children = subprocess.run(['sh', '-c', 'readlink /proc/self/fd/[012] | wc -l > count']).returncode;"
        "file.write(f'{status} {file.fileno() > 2} {children}')"
    )
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], cwd=tmp_path, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "0 True 0"
    assert (tmp_path / "count").read_text().strip() == "3"


def test_an_unknown_verb_is_wrong_usage(capsys):
    assert main(["unheard-of"]) == 2
    message = capsys.readouterr().err
    assert "unheard-of" in message
    assert "synth" in message
    assert message.count("\n") == 1


def test_a_verb_explains_its_options(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", "all", "--help"])
    assert stop.value.code == 0
    assert "--check" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("synth images textures --size big", ("--size", "--size big: give a whole number")),
        ("pretrain demo --bn foo", ("--bn foo: choose from none, shuffle, split, sync",)),
        ("pretrain demo --patch-size 5", ("--patch-size 5: give None or 2 whole numbers",)),
        ("pretrain demo --lr", ("--lr",)),
        ("probe run", ("give --data and --out",)),
        ("ood", ("give CHECKPOINT and --out",)),
    ],
)
def test_a_wrong_value_is_one_line(words, parts, capsys):
    assert main(words.split()) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert [part for part in (*parts, "--help") if part not in message] == []
    assert "[" + "bold" not in message


def test_a_wrong_flag_is_wrong_usage(capsys):
    assert main(["demo", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--sizee", "64"], ["--sizee=64"]])
def test_a_wrong_flag_is_one_line_with_the_nearest_one(capsys, words):
    assert main(["synth", "images", "textures", *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--sizee is not understood; did you mean --size?" in told


@pytest.mark.parametrize("target", [target for target, _ in (*VERBS.values(), *BENCHMARKS.values())])
def test_every_verb_leads_to_a_function_of_one_config(target):
    if find(target) is BENCHMARKS:
        return
    function, config = load(target)
    assert callable(function)
    assert all(one.__dataclass_params__.frozen for one in get_args(config) or (config,))


def test_a_verb_with_verbs_of_its_own_lists_them(capsys):
    assert main(["bench"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in BENCHMARKS)
    assert main(["bench", "unheard-of"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("texneg bench: no verb 'unheard-of'; choose from: negatives, ")
    assert message.count("\n") == 1


def test_importing_the_package_stays_light_and_every_public_name_exists():
    done = python("-c", f"import sys, texneg; print([n for n in {HEAVY} if n in sys.modules])")
    assert done.stdout.strip() == "[]"
    for name in texneg.__all__:
        assert getattr(texneg, name) is not None
    assert set(texneg.__all__) <= set(dir(texneg))


def test_patch_negatives_of_arrays_need_no_torch():
    code = (
        "import sys, numpy; from texneg import patch_negatives;"
        "patch_negatives(numpy.zeros((1, 32, 32, 3), 'u1')); print('torch' in sys.modules)"
    )
    assert python("-c", code).stdout.strip() == "False"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("datasets", "datasets"), ("synth", "synth"), ("train", "train"), ("benchmarks", "bench")],
)
def test_a_folder_under_its_bare_name_says_how_to_import_it(folder, name):
    done = python("-c", f"import {folder}", cwd=ROOT)
    assert done.returncode == 1
    assert f"ImportError: this folder is installed as texneg.{name}" in done.stderr


def test_the_help_shows_what_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["synth", "--help"])
    told = capsys.readouterr().out
    assert "--limit INT" in told
    assert "(default: 224)" in told
    assert "None" not in told
    assert "(default: )" not in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["probe", "RUN", "--data", "a", "--out", "b", "extra"], "'extra' belongs to no flag; leave it out"),
        (["probe", "RUN", "--data", "a", "--out", "b", "--flip=yes"], "--flip takes no value; leave it out"),
        (["pretrain", "demo", "extra"], "'extra' belongs to no flag; leave it out"),
        (["pretrain", "demo", "--patch-paper=yes"], "--patch-paper takes no value; leave it out"),
    ],
)
def test_a_word_too_many_is_shown_as_it_was_given(words, message, capsys):
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--accumulate", "nan"), "--accumulate nan: give a whole number"),
        (("--lr", "fast"), "--lr fast: give a number"),
        (("--clip-norm", "x"), "--clip-norm x: give None or a number"),
        (("--patch-size", "1"), "--patch-size 1: give None or 2 whole numbers or small"),
        (("--optimizer", "adam"), "--optimizer adam: choose from sgd, lars, adamw"),
        (("--workers",), "--workers: give a value"),
    ],
)
def test_a_value_of_another_type_is_shown_with_what_is_allowed(flags, message, capsys):
    assert main(["pretrain", "demo", *flags]) == 2
    assert capsys.readouterr().err == f"texneg pretrain: {message}; see texneg pretrain demo --help\n"


def test_an_error_of_the_operating_system_is_shown_without_its_number(tmp_path, capsys, monkeypatch):
    def read(config: convert.ConvertConfig) -> int:
        return len((tmp_path / "absent").read_bytes())

    monkeypatch.setattr("texneg.cli.main.load", lambda target: (read, convert.ConvertConfig))
    assert main(["convert", "a", "--out", "b.safetensors"]) == 1
    assert capsys.readouterr().err == f"texneg convert: {tmp_path}/absent: No such file or directory\n"


@pytest.mark.parametrize("line", ["out('x')", "print_status('x')", "info('x')"])
def test_work_goes_on_when_the_reader_of_its_lines_has_gone(line, tmp_path):
    code = f"from texneg.cli.console import *; {line}; {line}; open('done', 'w').close()"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=writer, stderr=writer, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "done").exists()


def test_warnings_of_pillow_that_name_no_image_are_silenced(capsys):
    assert main(["--version"]) == 0
    warnings.warn_explicit("Corrupt EXIF data", UserWarning, "TiffImagePlugin.py", 1, "PIL.TiffImagePlugin")
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn_explicit("ours", UserWarning, "loop.py", 1, "texneg.train.engine.loop")

"""README and docs: commands and flags exist, the first example runs, the site is built without a warning."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from texneg.cli.main import VERBS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECIPE = "tiny16_cpu"


def read_blocks(page: Path, language: str = "") -> list[str]:
    """Read the code blocks of a page that are in a language."""
    blocks = re.findall(r"^```(.*?)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    return [block for given, block in blocks if given == language]


def read_commands() -> list[str]:
    """Read the command lines of all pages, without comments and what a shell would do with their output."""
    found = []
    for page in PAGES:
        for block in read_blocks(page):
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            found += [line for line in lines if line.startswith("texneg ")]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("line", read_commands())
def test_a_command_of_the_pages_has_the_flags_it_uses(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, verb, *words = shlex.split(line, comments=True)
    assert verb in VERBS
    if verb == "pretrain" and words == ["--list"]:
        return  # a switch in place of a recipe
    words = [RECIPE if word == "RECIPE" else word for word in words]
    with pytest.raises(SystemExit) as ended:
        main([verb, *words, "--help"])
    assert not ended.value.code
    shown = capsys.readouterr().out
    for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert flag in re.findall(r"--[\w-]+", shown), f"{flag} is no flag of: {line}"


def test_pages_show_many_commands() -> None:
    assert len(read_commands()) > 30


def test_the_first_example_runs() -> None:
    (code,) = read_blocks(ROOT / "docs" / "start.md", "python")
    names: dict[str, object] = {}
    exec(compile(code, "start.md", "exec"), names)
    assert float(names["loss"].detach()) > 0  # type: ignore[attr-defined]
    assert int(names["queue"].position) == 8  # type: ignore[attr-defined]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Every page is in a table of contents, every link leads somewhere, every docstring is understood."""
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(tmp_path).with_suffix(".md") for path in tmp_path.rglob("*.html")}
    assert {page.relative_to(ROOT / "docs") for page in PAGES[1:]} <= pages

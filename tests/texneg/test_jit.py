"""The cache of compiled code: hit by the second process, and never a reason to fail."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534
PACKAGE = {
    "__init__.py": "",
    "base.py": """
from texneg.jit import compiled
SCALE = 3

@compiled(inline="always")
def scaled(x):
    return SCALE * x
""",
    "use.py": """
from texneg.jit import compiled
from texneg_site.base import scaled

@compiled()
def doubled(x):
    return 2 * scaled(x)

@compiled("int64(int64)")
def eager(x):
    return doubled(x) + 1
""",
}
REPORT = """
import json, sys, warnings
sys.path.insert(0, sys.argv[1])
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    from texneg_site.use import doubled, eager
    results = [doubled(7), eager(7)]
print(json.dumps({
    "results": results,
    "hits": sum(doubled.stats.cache_hits.values()) + sum(eager.stats.cache_hits.values()),
    "folder": eager.stats.cache_path,
    "warnings": [str(one.message) for one in seen],
}))
"""


@pytest.fixture
def site():
    """A package with compiled code in a folder that every user can read."""
    folder = Path(tempfile.mkdtemp(prefix="texneg-site-"))
    folder.chmod(0o755)
    (folder / "texneg_site").mkdir()
    for name, text in PACKAGE.items():
        (folder / "texneg_site" / name).write_text(text)
    yield folder
    shutil.rmtree(folder)


def report(site, *prefix, **environment):
    """Run code in a new process and return its findings; without `prefix`, in this environment."""
    given = {**({} if prefix else os.environ), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [*prefix, sys.executable, "-c", REPORT, str(site)]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def cached_files(site):
    return sorted((site / "texneg_site" / "__pycache__").glob("use.*.nb?"))


def test_the_second_process_compiles_nothing(site):
    first, second = report(site), report(site)
    assert first["results"] == second["results"] == [42, 43]
    assert (first["hits"], second["hits"]) == (0, 2)
    assert second["folder"] == str(site / "texneg_site" / "__pycache__")
    assert first["warnings"] == second["warnings"] == []


def test_a_change_of_an_imported_module_is_seen(site):
    report(site)
    base = site / "texneg_site" / "base.py"
    base.write_text(PACKAGE["base.py"].replace("SCALE = 3", "SCALE = 5"))
    changed = report(site)
    assert changed["results"] == [70, 71]
    assert changed["hits"] == 0


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_file_is_written_anew(site, damage):
    report(site)
    assert len(cached_files(site)) == 4
    for path in cached_files(site):
        path.write_bytes(damage(path.read_bytes()))
    assert report(site)["results"] == [42, 43]
    assert report(site)["hits"] == 2


def test_a_file_that_cannot_be_read_counts_as_missing(site):
    report(site)
    for path in cached_files(site):
        path.unlink()
        path.mkdir()  # nobody can read it as a file, root neither
    found = report(site)
    assert found["results"] == [42, 43]
    assert len(found["warnings"]) == 1


@pytest.fixture
def stranger(site):
    """A function that reports as another user, whose home does not exist, with a temporary folder."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be another user")
    scratch = site / "tmp"
    scratch.mkdir()
    scratch.chmod(0o1777)
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")

    def run(**environment):
        return report(site, *prefix, HOME="/nonexistent", TMPDIR=str(scratch), **environment)

    return run, scratch


def locked(site):
    """A folder of mode 555."""
    (site / "locked").mkdir(mode=0o555)
    return site / "locked"


def a_file(site):
    (site / "file").touch()
    return site / "file"


def missing(site):
    return Path("/nonexistent/cache")


@pytest.mark.parametrize("given", [None, locked, a_file, missing])
def test_a_private_folder_below_the_temporary_one_is_the_last_resort(site, stranger, given):
    run, scratch = stranger
    environment = {"NUMBA_CACHE_DIR": str(given(site))} if given else {}
    first, second = run(**environment), run(**environment)
    assert second["results"] == [42, 43]
    assert (first["hits"], second["hits"]) == (0, 2)
    assert first["warnings"] == []
    private = scratch / f"texneg-{NOBODY}"
    assert Path(second["folder"]).parent == private
    assert (private.stat().st_uid, private.stat().st_mode & 0o777) == (NOBODY, 0o700)


@pytest.mark.parametrize("trap", ["open to all", "another's", "a link"])
def test_a_folder_that_others_can_write_to_is_not_used(site, stranger, trap):
    run, scratch = stranger
    private = scratch / f"texneg-{NOBODY}"
    target = site / "elsewhere" if trap == "a link" else private
    target.mkdir()
    if trap != "another's":
        os.chown(target, NOBODY, NOBODY)
    target.chmod(0o700 if trap == "a link" else 0o777)
    if trap == "a link":
        private.symlink_to(target)
    found = run()
    assert found["results"] == [42, 43]
    assert len(found["warnings"]) == 1
    assert "set NUMBA_CACHE_DIR to a writable folder" in found["warnings"][0]
    assert list(target.iterdir()) == []


def test_everything_can_be_imported_where_nothing_can_be_written(stranger):
    _, scratch = stranger
    (scratch / f"texneg-{NOBODY}").touch()
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-c"]
    code = "import texneg.patches.cpu, texneg.textures.live.negatives, texneg.train.data.augment"
    environment = {"HOME": "/nonexistent", "TMPDIR": str(scratch), "NUMBA_CACHE_DIR": "/proc"}
    done = subprocess.run([*command, code], env=environment, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode().count("NUMBA_CACHE_DIR") == 1


def test_disabled_compilation_leaves_python_functions():
    code = "from texneg.textures.atlas import halve; assert type(halve).__name__ == 'function'"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True)

"""The built wheel: what it installs, and that it works away from the checkout, beside another `datasets`."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "texneg": "texneg",
    "datasets": "texneg/datasets",
    "synth": "texneg/synth",
    "train": "texneg/train",
    "benchmarks": "texneg/bench",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout gets no build folder and lends no stale one."""
    folder = tmp_path_factory.mktemp("build")
    for name in (*FOLDERS, "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder of installed packages: the wheel and a foreign package called datasets."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "datasets").mkdir()
    (folder / "datasets" / "__init__.py").write_text("OWNER = 'somebody else'\n")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*command, "--no-deps", "--target", folder, wheel], check=True)
    return folder


def run(site, code, cwd):
    """Run code that sees `site`, then this environment's libraries without its editable install."""
    libraries = sysconfig.get_path("purelib")
    lines = ["import sys", f"sys.path[:0] = [{str(site)!r}]", f"sys.path.append({libraries!r})", code]
    command = [sys.executable, "-I", "-S", "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_nothing_but_texneg_is_installed_at_top_level(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"texneg"}


def test_every_file_of_the_folders_is_in_the_wheel(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder, home in FOLDERS.items():
        files = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file()]
        wanted = {
            f"{home}/{path.as_posix()}" for path in files if not {"__pycache__", "results"} & {*path.parts}
        }
        assert wanted <= packed
    assert {Path(name).parent.name for name in packed if name.endswith(".json")} == {"classes"}  # no results


def test_it_works_outside_the_checkout_beside_another_datasets(site, tmp_path):
    code = """
import datasets, numpy, texneg
assert datasets.OWNER == 'somebody else'
import texneg.synth, texneg.train
from texneg.datasets.sampler import epoch_order
assert sorted(epoch_order(9, seed=0, epoch=0)) == list(range(9))
image = numpy.arange(32 * 32 * 3, dtype='u1').reshape(1, 32, 32, 3)
assert texneg.patch_negatives(image).shape == (1, 1, 32, 32, 3)
print(texneg.__file__)
"""
    done = run(site, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == site / "texneg"


def test_its_benchmarks_can_be_run(site, tmp_path):
    code = """
import pkgutil
from importlib import import_module
import texneg.bench
from texneg.cli.main import main
assert main(['bench', '--help']) == 0
for module in pkgutil.walk_packages(texneg.bench.__path__, 'texneg.bench.'):
    import_module(module.name)
print(texneg.bench.__file__)
sys.exit(main(['bench', 'negatives', '--help']))
"""
    done = run(site, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{site / 'texneg' / 'bench'}/" in done.stdout
    assert "published-tool" in done.stdout
    assert "--quick" in done.stdout


def test_its_command_line_answers(site, tmp_path):
    done = run(site, "from texneg.cli.main import main; sys.exit(main(['--help']))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pretrain" in done.stdout

"""Dependencies: every import of other people's packages is declared, every declared package is imported."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FOLDERS = ("texneg", "datasets", "synth", "train", "benchmarks")
NEW_IN_PYTHON = {"compression"}  # since 3.14, with a message for older versions
PART_OF = {
    "triton": "torch",
    "llvmlite": "numba",
}  # each is pinned to one version by the package it belongs to
USED_WITHOUT_IMPORT = {
    "datasets": "a reader of what texneg export writes, tried in a process of its own",
    "litdata": "another",
    "aiohttp": "fsspec opens http:// with it",
    "gcsfs": "fsspec opens gs:// with it",
    "s3fs": "fsspec opens s3:// with it",
    "build": "a command of the wheel test",
    "flask": "moto's server needs it",
    "flask-cors": "moto's server needs it",
    "furo": "named in docs/conf.py",
    "moto": "started as a command",
    "mypy": "a command of make check",
    "myst-parser": "named in docs/conf.py",
    "ruff": "a command of make check",
    "tensorboard": "torch.utils.tensorboard needs it",
    "setuptools": "the wheel test builds without isolation",
    "sphinx": "a command of make docs",
    "sphinx-copybutton": "named in docs/conf.py",
    "types-tqdm": "types for mypy",
}


def normalise(name: str) -> str:
    """Write a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(*extras: str) -> set[str]:
    """Read the distributions that extras declare; without arguments, those that the project itself does."""
    lists = [PROJECT["optional-dependencies"][extra] for extra in extras] or [PROJECT["dependencies"]]
    return {normalise(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for lines in lists for line in lines}


EXTRAS = read_requirements(*(extra for extra in PROJECT["optional-dependencies"] if extra != "dev"))
DISTRIBUTIONS = packages_distributions()


def find_distributions(module: str) -> set[str]:
    """Find the distributions that a top-level module comes from; its own name where it is not installed."""
    return {normalise(name) for name in DISTRIBUTIONS.get(module, [module])}


def find_imports(folder: str) -> dict[str, list[tuple[str, bool]]]:
    """Find other people's modules in a folder: the files that import each, True for those at module level."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            else:
                names = list(_named_module(node))
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names | NEW_IN_PYTHON | {"texneg", "tests"}:
                    found.setdefault(top, []).append(
                        (path.relative_to(ROOT).as_posix(), id(node) not in inside)
                    )
    return found


def _named_module(node: ast.AST) -> list[str]:
    """The module of `import_module("name")` or `pytest.importorskip("name")`."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "importorskip") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_the_package_imports_is_declared(folder):
    for module, places in find_imports(folder).items():
        if module in PART_OF:
            assert PART_OF[module] in read_requirements()
            continue
        names = find_distributions(module)
        if names & read_requirements():
            continue
        assert names & EXTRAS, f"{module} is imported by {places[0][0]} and not declared"
        early = [path for path, at_top in places if at_top]
        assert not early, f"{module} is optional; {early} must import it inside a function"


def test_what_the_tests_import_is_declared():
    for module, places in find_imports("tests").items():
        names = find_distributions(PART_OF.get(module, module))
        assert names & (read_requirements() | read_requirements("dev")), (
            f"{module} is imported by {places[0][0]} and not declared"
        )


def test_what_is_declared_is_imported():
    package = {
        name for folder in FOLDERS for module in find_imports(folder) for name in find_distributions(module)
    }
    tests = {name for module in find_imports("tests") for name in find_distributions(module)}
    assert (read_requirements() | EXTRAS) - package | read_requirements("dev") - package - tests == set(
        USED_WITHOUT_IMPORT
    )


@pytest.mark.parametrize("module", PART_OF)
def test_a_module_that_belongs_to_another_package_is_required_by_it(module):
    owners = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires(PART_OF[module]) or []]
    if module == "triton" and "triton" not in DISTRIBUTIONS:
        pytest.skip("this build of torch comes without triton")
    assert module in owners


def test_versions_have_a_floor_and_no_ceiling():
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for line in (line for lines in lists for line in lines):
        assert re.fullmatch(r"[\w.-]+(>=[\w.]+)?", line), line
        assert ">=" in line or line.startswith("types-"), line

"""Who may import whom, read from the syntax trees of all five folders."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {  # folder: folders of this project
    "texneg": {"texneg"},
    "datasets": {"texneg", "datasets"},
    "synth": {"texneg", "datasets", "synth"},
    "train": {"texneg", "datasets", "synth", "train"},
    "benchmarks": {"texneg", "datasets", "synth", "train", "benchmarks"},
}
IMPORTED_AS = {"benchmarks": "bench"}  # folder: its name inside the package, where it differs
ROOMS = {  # folder: its folders and modules in order; each may import itself and those before it
    "datasets": ("storage", "decode", "sources", "images", "cues", "toy"),
    "synth": ("plan", "ledger", "task", "config", "executors", "driver", "verbs"),
    "train": (
        "options",
        "device",
        "distributed",
        "negatives",
        "data",
        "networks",
        "selection",
        "centring",
        "synthetic",
        "objectives",
        "methods",
        "engine",
        "evaluate",
        "report",
        "sheet",
        "audit",
        "config",
        "recipes",
        "flags",
        "convert",
        "finetune",
        "assemble",
        "pretrain",
        "worker",
        "study",
        "sweep",
        "demo",
    ),
}
FLOORS = {  # folder: modules that share a place in the order
    "datasets": {
        **dict.fromkeys(
            (
                "complaints",
                "metadata",
                "encode",
                "stored",
                "sampler",
                "corruptions",
                "suppressions",
                "wordnet",
            ),
            "decode",
        ),
        **dict.fromkeys(("pairs", "fingerprint", "cache", "class_maps", "rows", "catalogue"), "images"),
    },
    "synth": dict.fromkeys(("run", "synth", "corrupt", "status", "verify", "preview", "export"), "verbs"),
    "train": {},
}
OF_SYNTH = {"texneg.synth.synth", "texneg.synth.status", "texneg.synth.preview"}  # all that train may import
OF_TRAIN = {  # all that synth may import of train, and where: inside functions, for --max-leak alone
    "synth/task/redrawn.py": {
        "texneg.train.networks.encoder",
        "texneg.train.networks.imported",
        "texneg.train.evaluate.features",
    }
}
CORE_LIBRARIES = {
    "torch",
    "triton",
    "numba",
    "llvmlite",
    "numpy",
    "lazy_loader",
}  # triton is torch's, llvmlite numba's
COMMAND_LINE = {"tyro", "tqdm", "packaging"}  # of texneg/cli alone
PUBLIC = {  # name: module that holds it
    alias.name: f"texneg.{node.module}"
    for node in ast.walk(ast.parse((ROOT / "texneg" / "__init__.pyi").read_text("utf-8")))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
FILES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))


def module_of(path):
    """The name under which a file is imported."""
    top, *parts = path.relative_to(ROOT).with_suffix("").parts
    inside = [] if top == "texneg" else [IMPORTED_AS.get(top, top)]
    return ".".join(["texneg", *inside, *(part for part in parts if part != "__init__")])


NAMES = {module_of(path) for path in FILES}


def imports(path):
    """Module names that a file imports, wherever in the file; of `from texneg import x`, the home of x."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full, from texneg..."
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if node.module == "texneg":
                    yield PUBLIC.get(alias.name, full)
                else:
                    yield full if full in NAMES else node.module


def folder_of(module):
    """The project folder that a module lies in; None for other people's."""
    top, *rest = module.split(".")
    if top != "texneg":
        return None
    homes = {IMPORTED_AS.get(folder, folder): folder for folder in MAY_IMPORT if folder != "texneg"}
    return homes.get(rest[0], "texneg") if rest else "texneg"


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_the_allowed_way(path):
    own = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        assert module.split(".")[0] not in {"datasets", "synth", "train", "benchmarks"}, (
            f"write texneg.{module}"
        )
        folder = folder_of(module)
        allowed = folder in MAY_IMPORT[own] or module in OF_TRAIN.get(name(path), ())
        assert folder is None or allowed, f"{own}/ may not import {module}"


@cache
def modules():
    """All modules by name, with the modules of the project that each imports, wherever in the file."""
    return {module_of(path): set(imports(path)) & NAMES - {module_of(path)} for path in FILES}


def floor(folder, module):
    """Place of a module in the order of its folder; of what is no room, such as `__init__`, the first."""
    room = module.removeprefix(f"texneg.{folder}").lstrip(".").split(".")[0]
    room = FLOORS[folder].get(room, room)
    return ROOMS[folder].index(room) if room else -1


@pytest.mark.parametrize("folder", ROOMS)
def test_a_folder_is_built_in_floors(folder):
    """An import inside a function counts, too: it may spare time or memory, but not hide a leak."""
    own = {name for name in modules() if name.startswith(f"texneg.{folder}")}
    for module in own:
        for imported in modules()[module] & own:
            assert floor(folder, imported) <= floor(folder, module), f"{module} may not import {imported}"


def test_training_knows_of_texture_runs_only_how_to_start_and_to_preview_one():
    for module, imported in modules().items():
        if module.startswith("texneg.train"):
            of_synth = {name for name in imported if name.startswith("texneg.synth.")}
            assert of_synth <= OF_SYNTH, module


def test_a_texture_run_loads_no_training_until_it_measures_leak():
    code = "import sys, texneg.synth.synth, texneg.synth.task.run_task; print(*sys.modules, sep='\\n')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [module for module in found.stdout.split() if module.startswith("texneg.train.")]


def test_no_import_inside_a_function_hides_a_circle():
    left = dict(modules())
    while free := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"these modules import each other in a circle: {sorted(left)}"


def test_what_benchmarks_share_knows_none_of_them():
    for path in sorted((ROOT / "benchmarks" / "common").glob("*.py")):
        assert not [module for module in imports(path) if re.match(r"texneg\.bench\.(?!common)", module)], (
            path.name
        )


@pytest.mark.parametrize("path", sorted((ROOT / "texneg").rglob("*.py")), ids=name)
def test_the_core_needs_only_torch_numba_numpy_and_what_comes_with_them(path):
    allowed = CORE_LIBRARIES | (COMMAND_LINE if path.parent.name == "cli" else set())
    others = {module.split(".")[0] for module in imports(path)} - {"texneg", *sys.stdlib_module_names}
    assert others <= allowed


@pytest.mark.parametrize("path", sorted((ROOT / "train").rglob("*.py")), ids=name)
def test_training_can_be_imported_without_the_cluster(path):
    tree = ast.parse(path.read_text("utf-8"))
    at_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) in at_top:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            assert not {str(module).split(".")[0] for module in names} & {"dask", "distributed", "tyro"}


def test_no_public_name_is_a_module_of_its_own():
    """Importing texneg.x sets texneg.x to the module, in place of a function of that name."""
    assert not set(PUBLIC) & {path.stem for path in (ROOT / "texneg").glob("*.py")}


def test_the_test_sees_the_folders():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(MAY_IMPORT)

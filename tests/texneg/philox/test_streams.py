"""Purposes of random draws: each has one value, and `Stream` alone names them."""

import ast
from pathlib import Path

import pytest

from texneg.philox.streams import Stream

ROOT = Path(__file__).parents[3]
FOLDERS = ("texneg", "datasets", "synth", "train", "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
KEYED = {"fold", "generator", "shared_key"}  # functions that mix a purpose into a key
# Frozen: another value changes the results of every experiment that draws from the stream.
VALUES = {
    "EXEMPLAR_PLACE": 1,
    "FIELD": 2,
    "TILE": 3,
    "CANDIDATE": 4,
    "TOY_TRAIN": 0xE0,
    "TOY_PIXELATE": 0xE9,
    "PATCHES": 0x9A7C,
    "LIVE_TEXTURES": 0x7E47,
    "MIXTURE": 0x3C1D,
    "EPOCH_ORDER": 0x0DE5,
    "VIEWS": 0x71E3,
    "KEY_QUEUE": 0x0E0E,
    "NETWORK": 0x1417,
    "KEY_SHUFFLE": 0x5F1E,
    "ONLINE_KNN": 0x4EA2,
    "SIMILARITY_SAMPLE": 0x73696D69,
    "VALIDATION_SPLIT": 0x73706C69,
    "BOOTSTRAP": 0x626F6F74,
    "CONSISTENCY_BOOTSTRAP": 0x6B617070,
    "ROBUSTNESS_BOOTSTRAP": 0x6C696E65,
    "SHAPE_BIAS_BOOTSTRAP": 0x73686170,
    "SUPPRESSION": 0x73757070,
}


def test_values_are_unique_and_stay():
    assert len({int(stream) for stream in Stream.__members__.values()}) == len(Stream.__members__)
    assert {name: int(Stream[name]) for name in VALUES} == VALUES


def purposes_outside_streams(tree):
    """Constants called a purpose, and fields of keys that are numbers or constants of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and "PURPOSE" in node.id.upper() and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Call):
            for field in node.args if ast.unparse(node.func).rpartition(".")[2] in KEYED else ():
                if isinstance(field, ast.Constant) and field.value > 0xF:
                    yield field.value
                elif isinstance(field, ast.Name) and field.id.isupper() and len(field.id) > 1:
                    yield field.id


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_purpose_is_a_member_of_stream(path):
    if path.name != "streams.py":
        assert list(purposes_outside_streams(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize("text", ["_PURPOSE: int = 5", "fold(seed, 0x9A7C)", "arrays.generator(s, _SPLIT)"])
def test_the_test_sees_a_purpose(text):
    assert list(purposes_outside_streams(ast.parse(text)))

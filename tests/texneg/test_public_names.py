"""The names of the package: imported on first use, and otherwise like any others."""

import pickle
import subprocess
import sys

import pytest

import texneg

NAMES = sorted(set(texneg.__all__) - {"__version__"})


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_found_and_can_be_pickled(name):
    value = getattr(texneg, name)
    assert value.__name__ == name
    assert pickle.loads(pickle.dumps(value)) is value


def test_names_are_listed_before_any_is_imported():
    code = "import sys, texneg; print(*dir(texneg), *({'numpy', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted(texneg.__all__)


def test_a_star_import_gives_all():
    found = {}
    exec("from texneg import *", found)
    assert set(texneg.__all__) <= set(found)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        _ = texneg.nothing

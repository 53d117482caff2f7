"""The mark of a config field that is a positional argument; works without the command-line parser."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING or find_spec("tyro") is None:
    from typing import Annotated

    Positional = Annotated[T, "positional"]
else:
    from tyro.conf import Positional

__all__ = ["Positional"]

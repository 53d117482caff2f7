"""The command line of `texneg pretrain`: a recipe's name, and any of its fields changed."""

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass, replace
from typing import TYPE_CHECKING, Any

from texneg.options import Positional
from texneg.train.config import PretrainConfig
from texneg.train.recipes import listing, recipe


def begin(words: Sequence[str]) -> PretrainConfig | None:
    """The recipe that a command line names first: its values are the defaults that flags show and change.

    None where the first word is a flag.

    Raises:
        InputError: the first word is no recipe; lists those there are.
    """
    return recipe(words[0]) if words and not words[0].startswith("-") else None


if TYPE_CHECKING:
    PretrainFlags = PretrainConfig
else:
    # The fields and help of PretrainConfig, each None unless given.
    PretrainFlags = make_dataclass(
        "PretrainFlags",
        [("recipe", Positional[str], field())]
        + [(f.name, f.type | None, None) for f in fields(PretrainConfig) if f.name != "recipe"],
        bases=(PretrainConfig,),
        frozen=True,
        namespace={
            "__doc__": "A flag that is left out keeps the value of the recipe:"
            f" texneg pretrain RECIPE --help shows them.\n\nRecipes:{listing()}",
            "begin": staticmethod(begin),
        },
    )


def resolve(flags: Any) -> PretrainConfig:
    """The recipe with the given flags put in; a whole configuration as it is.

    Raises:
        InputError: no such recipe.
    """
    if type(flags) is PretrainConfig:
        return flags
    values = {f.name: getattr(flags, f.name) for f in fields(flags)}
    return replace(recipe(flags.recipe), **{k: v for k, v in values.items() if v is not None})

"""The command line of `texneg pretrain`: a recipe's name, and any of its fields changed."""

from dataclasses import field, fields, make_dataclass, replace
from typing import TYPE_CHECKING, Any

from texneg.options import Positional
from texneg.train.config import PretrainConfig
from texneg.train.recipes import listing, recipe

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
            "__doc__": f"A flag that is left out keeps the value of the recipe.\n\nRecipes:{listing()}"
        },
    )


def resolve(flags: Any) -> PretrainConfig:
    """The recipe with the given flags put in.

    Raises:
        InputError: no such recipe.
    """
    values = {f.name: getattr(flags, f.name) for f in fields(flags)}
    return replace(recipe(flags.recipe), **{k: v for k, v in values.items() if v is not None})

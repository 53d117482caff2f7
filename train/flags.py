"""The command line of `texneg pretrain`: a recipe's name, then any of its settings changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.recipes import RECIPES, listing, recipe


@dataclass(frozen=True)
class PretrainFlags(PretrainConfig):
    """A recipe whose settings the flags show and change."""

    __doc__ = (
        "A flag that is left out keeps the value of the recipe: texneg pretrain RECIPE --help shows them."
        f"\n\nRecipes:{listing()}"
    )

    @classmethod
    def begin(cls, words: Sequence[str]) -> "PretrainFlags | None":
        """The recipe that a command line names first, as the defaults of its flags; None for bare --help.

        Raises:
            InputError: the first word names no recipe; lists those there are.
        """
        if words and words[0] in ("-h", "--help"):
            return None
        if not words or words[0].startswith("-"):
            names = ", ".join(made.__name__ for made in RECIPES)
            raise InputError(f"name a recipe first: texneg pretrain RECIPE --data DIR; recipes: {names}")
        return cls(**vars(recipe(words[0])))

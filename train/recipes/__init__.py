"""Recipes: each is a function that returns a whole configuration; `texneg pretrain NAME` runs it.

Recipes lie in the module of their data set. One of your own is appended to `RECIPES`.
"""

import inspect

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.recipes import imagenet, imagenet100, own, small_images
from texneg.train.recipes.recipe import CORE_RATE, RATE, Recipe

RECIPES: list[Recipe] = [*imagenet.RECIPES, *imagenet100.RECIPES, *small_images.RECIPES, *own.RECIPES]


def find_recipe(name: str) -> PretrainConfig:
    """Return the configuration of a recipe.

    Raises:
        InputError: no recipe of that name; lists those there are.
    """
    named = {recipe.name: recipe for recipe in RECIPES}
    if name not in named:
        raise InputError(f"no recipe {name!r}; choose from: {', '.join(named)}")
    return named[name].make()


def describe_recipe(name: str) -> str:
    """Return the description of a recipe; of a name that is none, the names of all."""
    for recipe in RECIPES:
        if recipe.name == name:
            return inspect.getdoc(recipe.make) or ""
    return (
        "Train a recipe, which is a whole configuration, or change it; texneg pretrain --list is their table."
        f"\n\nRecipes: {', '.join(recipe.name for recipe in RECIPES)}"
    )


def list_recipes() -> str:
    """Write all recipes as a table, a line each."""
    lines = [("recipe", "data", "network", "px", "epochs", "expected", "hardware", "hours")]
    for recipe in RECIPES:
        config = recipe.make()
        network, pixels, epochs = config.network, config.views.image_size, config.optimisation.epochs
        arch = network.arch if network.width == 64 else f"{network.arch}, width {network.width}"
        needs = recipe.expected or "-", recipe.hardware, f"{recipe.hours:.2g}"
        lines.append((recipe.name, recipe.data, arch, str(pixels), str(epochs), *needs))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join(
        [
            *table,
            "",
            "expected: published linear top-1 in percent. hardware: an estimate of what is enough.",
            f"hours: calculated at {RATE / 1e12:.0f} TFLOP/s for a GPU, a large one, and at"
            f" {CORE_RATE / 1e12:g} for a core.",
            "texneg pretrain RECIPE --help explains one, with its source and all flags.",
        ]
    )

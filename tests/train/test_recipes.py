"""Recipes: valid, named and described truthfully, and their cost as their networks have it."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from texneg.cli.main import main
from texneg.train.data.loader import Batch
from texneg.train.recipes import RECIPES, list_recipes

N = 2
# One of each: network, method, with and without a negative.
COSTS = (
    "moco_v2_patch_imagenet100",
    "simclr_imagenet",
    "memory_bank_cifar10",
    "moco_v2_cifar10",
    "moco_v2_stl10",
    "imagenette128_gpu",
    "tiny16_gpu",
    "tiny16_cpu",
    "demo",
)


def test_recipes_are_named_after_their_functions_and_valid():
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    for recipe in RECIPES:
        config = recipe.make()
        assert config.recipe == recipe.name
        assert recipe.make.__doc__.splitlines()[0].endswith(".")
        replace(config, run=replace(config.run, data="images")).check()
        config.check_images(recipe.images)


def test_the_list_has_a_line_for_each(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", "--list"])
    assert not ended.value.code
    shown = capsys.readouterr()
    lines = (shown.out + shown.err).splitlines()
    assert [line.split()[0] for line in lines[1 : len(RECIPES) + 1]] == [recipe.name for recipe in RECIPES]
    assert max(map(len, list_recipes().splitlines())) <= 140


def test_hours_are_those_of_the_hardware():
    hours = {recipe.name: recipe.hours for recipe in RECIPES}
    assert hours["tiny16_cpu"] == pytest.approx(0.162e9 * 13_000 * 20 / 50e9 / 3600)
    assert hours["tiny16_gpu"] == pytest.approx(22.3e9 * 13_000 * 200 / 100e12 / 3600)


@pytest.mark.parametrize("name", COSTS)
def test_the_cost_is_that_of_the_networks(name):
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == name)
    config = recipe.make()
    side, network = config.views.image_size, replace(config.network, bn="none")
    method = config.method.build(network, side, seed=0, steps=9, images=recipe.images).to("meta").train()
    method.autocast = lambda views: nullcontext()  # there is none on this device
    views = torch.zeros(2, N, side, side, 3, dtype=torch.uint8, device="meta")
    negatives = views[0, :, None] if config.negatives.kinds else None
    with FlopCounterMode(display=False) as counter:
        config.objective(method(Batch(*views, negatives, torch.arange(N), 0))).backward()
    assert counter.get_total_flops() / N / 1e9 == pytest.approx(recipe.gflop, rel=0.03)

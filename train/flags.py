"""Flat flags of a nested configuration: `texneg pretrain RECIPE --queue 4096 --patch-flip`.

Every field of every part of a configuration is a flag; those of a kind of negatives bear its name in front.
`change` does in a program what the flags do on the command line.
"""

import ast
import inspect
import textwrap
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import field, fields, is_dataclass, make_dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

from texneg.cli.main import parse
from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.data.augmentations import AUGMENTATIONS
from texneg.train.methods import METHODS
from texneg.train.negatives import KINDS, Negatives
from texneg.train.objectives import LOSSES, Objective
from texneg.train.options import find_named
from texneg.train.recipes import RECIPES, describe_recipe, find_recipe

CHOICES: dict[str, Sequence[Any]] = {
    "method": METHODS,
    "loss": LOSSES,
    "negatives": KINDS,
    "views": AUGMENTATIONS,
}
"""Flags that choose a class; its fields are flags as well."""
NO_KIND = ("none", "mixture")
"""Values of --negatives that are no kind."""
OTHERS = ("recipe", "seed", "count", "mixture")
"""Flags that are neither a choice nor a field of a part."""


class Part(NamedTuple):
    """A part of a configuration whose fields are flags."""

    title: str
    """Of its group in the help."""
    prefix: str
    """Put in front of the names of its fields."""
    options: Any
    """The part itself, a frozen dataclass."""

    def flags(self) -> dict[str, str]:
        """Return the names of its fields by the names of their flags."""
        return {self.prefix + f.name: f.name for f in fields(self.options)}


def change(config: PretrainConfig, **flags: Any) -> PretrainConfig:
    """Change a configuration by the names of its flags: `change(recipe, lr=0.1, negatives="patch")`.

    Another method, loss, augmentation (`views`) or kind of negatives begins with its own defaults; a method
    brings the loss that it is published with, and the weight of negatives that suits it.

    Raises:
        InputError: a flag that this configuration does not have, or a choice that is not in its table.
    """
    config = choose(config, flags)
    rest = {name: value for name, value in flags.items() if name not in (*CHOICES, *OTHERS)}
    parts = list_parts(config)
    for name in rest:
        if not any(name in part.flags() for part in parts):
            raise InputError(explain_unknown(config, name))
    (
        run,
        reading,
        views,
        network,
        optimisation,
        method,
        selection,
        loss,
        centring,
        synthetic,
        saving,
        *kinds,
    ) = (
        replace(part.options, **{own: rest[name] for name, own in part.flags().items() if name in rest})
        for part in parts
    )
    shares = [share for _, share in config.negatives.kinds]
    return PretrainConfig(
        recipe=flags.get("recipe", config.recipe),
        seed=flags.get("seed", config.seed),
        reading=reading,
        views=views,
        negatives=Negatives(
            tuple(zip(kinds, shares, strict=True)), flags.get("count", config.negatives.count)
        ),
        negative_pass=saving,
        method=method,
        objective=Objective(loss, selection, centring, synthetic),
        network=network,
        optimisation=optimisation,
        run=run,
    )


def list_parts(config: PretrainConfig) -> list[Part]:
    """List the parts of a configuration in the order of the help."""
    method, loss = config.method, config.objective.loss
    return [
        Part("run", "", config.run),
        Part("reading", "", config.reading),
        Part(f"views {config.views.name}", "", config.views),
        Part("network", "", config.network),
        Part("optimisation", "", config.optimisation),
        Part(f"method {method.name}", "", method),
        Part("selection", "", config.objective.selection),
        Part(f"loss {loss.name}", "", loss),
        Part("centring", "", config.objective.centring),
        Part("synthetic negatives", "", config.objective.synthetic),
        Part("negative pass", "", config.negative_pass),
        *(Part(f"negatives {kind.name}", f"{kind.name}_", kind) for kind, _ in config.negatives.kinds),
    ]


def choose(config: PretrainConfig, flags: dict[str, Any]) -> PretrainConfig:
    """Choose the classes that `CHOICES` and `mixture` name; those that are there keep their options."""
    if "method" in flags:
        method = find_named(METHODS, flags["method"], "--method")
        if type(config.method) is not method:
            network = replace(config.network, zero_init_last=method.zero_init_last)
            config = replace(config, method=method(), objective=Objective(method.loss), network=network)
    if "loss" in flags:
        loss = find_named(LOSSES, flags["loss"], "--loss")
        if type(config.objective.loss) is not loss:
            config = replace(config, objective=replace(config.objective, loss=loss()))
    if "views" in flags:
        views = find_named(AUGMENTATIONS, flags["views"], "--views")
        if type(config.views) is not views:
            config = replace(config, views=views(image_size=config.views.image_size))
    if "negatives" in flags or "mixture" in flags:
        name = flags.get("negatives", find_choice(config.negatives))
        config = replace(config, negatives=choose_negatives(config.negatives, name, flags.get("mixture", ())))
    return config


def choose_negatives(negatives: Negatives, name: str, mixture: Sequence[tuple[str, float]]) -> Negatives:
    """Choose the kinds that --negatives and --mixture name."""
    current = {kind.name: kind for kind, _ in negatives.kinds}
    if name == "mixture" and not mixture and len(negatives.kinds) > 1:
        return negatives
    if (name == "mixture") != bool(mixture):
        raise InputError(
            "--negatives mixture and --mixture belong together: --negatives mixture --mixture patch 0.5"
            " texture_live 0.5"
        )
    names = [kind for kind, _ in mixture]
    if len(set(names)) < len(names):
        words = " ".join(f"{kind} {share:g}" for kind, share in mixture)
        raise InputError(f"--mixture {words}: name each kind once")
    if mixture:
        found = [(find_named(KINDS, kind, "--mixture"), share) for kind, share in mixture]
    else:
        found = [] if name == "none" else [(find_named(KINDS, name, "--negatives", *NO_KIND), 1.0)]
    return replace(negatives, kinds=tuple((current.get(cls.name) or cls(), share) for cls, share in found))


def find_choice(negatives: Negatives) -> str:
    """Return the value of --negatives."""
    if len(negatives.kinds) > 1:
        return "mixture"
    return negatives.kinds[0][0].name if negatives.kinds else "none"


def explain_unknown(config: PretrainConfig, name: str) -> str:
    """Name the class that a flag belongs to, or the flag that may have been meant."""
    flag, own = f"--{name.replace('_', '-')}", name.removeprefix("no_")
    for choice, table in CHOICES.items():
        for cls in table:
            if own in Part("", f"{cls.name}_" if choice == "negatives" else "", cls).flags():
                return f"{flag} is an option of --{choice} {cls.name}, which is not chosen; leave it out"
    known = [name for part in list_parts(config) for name in part.flags()]
    near = get_close_matches(name, [*known, *CHOICES, *OTHERS[1:]], n=1)
    hint = f"; did you mean --{near[0].replace('_', '-')}?" if near else ""
    return f"{flag} is not understood{hint}"


def read_flags(words: list[str]) -> PretrainConfig:
    """Read a configuration from a command line: the name of a recipe, then flags that change it.

    Raises:
        InputError: no recipe, a choice that is not in its table, a flag that is not there.
    """
    recipe, rest = (words[0], words[1:]) if words else ("", [])
    if recipe in ("-h", "--help"):
        recipe, rest, config = "RECIPE", words, PretrainConfig()
    elif not recipe or recipe.startswith("-"):
        names = ", ".join(one.name for one in RECIPES)
        raise InputError(f"name a recipe first: texneg pretrain RECIPE --data DIR; recipes: {names}")
    else:
        config = choose(find_recipe(recipe), scan_choices(rest))
    flags, explain = make_flags(config), partial(explain_unknown, config)
    values: dict[str, Any] = {}
    for name, value in vars(parse(type(flags), f"pretrain {recipe}", rest, flags, explain)).items():
        values |= vars(value) if is_dataclass(value) else {name: value}
    return change(config, **values)


def scan_choices(words: Sequence[str]) -> dict[str, Any]:
    """Find the flags that choose classes; those that are incomplete are left to the parser."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in CHOICES:
        parser.add_argument(f"--{name}", nargs="?")
    parser.add_argument("--mixture", nargs="*", default=())
    found = vars(parser.parse_known_args(words)[0])
    mixture = found.pop("mixture")
    chosen = {name: value for name, value in found.items() if value is not None}
    with suppress(ValueError):
        pairs = zip(mixture[::2], mixture[1::2], strict=True)
        chosen |= {"mixture": tuple((kind, float(share)) for kind, share in pairs)} if mixture else {}
    return chosen


def make_flags(config: PretrainConfig) -> Any:
    """Make the flags of a configuration: a dataclass with their present values, in groups."""
    name = find_choice(config.negatives)
    mixture = tuple((kind.name, share) for kind, share in config.negatives.kinds) if name == "mixture" else ()
    pairs: Any = tuple[tuple[choice_type(KINDS), float], ...]  # type: ignore[misc]
    top = (
        ("method", choice_type(METHODS), "Source of positives and ordinary negatives.", config.method.name),
        ("loss", choice_type(LOSSES), "Loss on the similarities of a step.", config.objective.loss.name),
        (
            "negatives",
            choice_type(KINDS, *NO_KIND),
            "Kind of non-semantic negatives; mixture: several, drawn.",
            name,
        ),
        ("views", choice_type(AUGMENTATIONS), "Augmentation of an image's views.", config.views.name),
        ("mixture", pairs, "Kinds and probabilities of a mixture: patch 0.5 texture_live 0.5.", mixture),
        ("count", int, "Non-semantic negatives of each query; texture: 1.", config.negatives.count),
        ("seed", int, "Seed of weights, image order, views and negatives.", config.seed),
    )
    members = [*(make_field(*one) for one in top), *map(make_group, list_parts(config))]
    doc = (
        f"{describe_recipe(config.recipe)}\n\nA flag that is left out keeps the value shown. Another method,"
        " loss, augmentation (--views) or kind of negatives brings options of its own: choose it in front of"
        " --help, as in --negatives texture_live --help."
    )
    made: Any = make_dataclass("Flags", members, namespace={"__doc__": doc})
    return made()


def make_group(part: Part) -> tuple[str, Any, Any]:
    """Make a group of flags: a dataclass with the fields of a part, under the names of their flags."""
    cls = type(part.options)
    hints, docs = get_type_hints(cls), read_field_docs(cls)
    members = [
        make_field(flag, hints[name], docs.get(name, ""), getattr(part.options, name))
        for flag, name in part.flags().items()
    ]
    doc = (cls.__doc__ or "").partition("\n")[0]
    made: Any = make_dataclass("Group", members, namespace={"__doc__": doc})
    return part.title.replace(" ", "_"), made, field(default_factory=made)


def make_field(name: str, hint: Any, text: str, value: Any) -> tuple[str, Any, Any]:
    """Make the field of a class of flags, with its help and its default."""
    import tyro

    return name, Annotated[hint, tyro.conf.arg(help=text)], field(default=value)


def choice_type(table: Sequence[Any], *others: str) -> Any:
    """Return the type of a choice among the classes of a table and some other names."""
    return Literal[(*others, *(cls.name for cls in table))]


def read_field_docs(cls: type) -> dict[str, str]:
    """Read the strings that follow the fields of a dataclass, its own and inherited ones, in the source."""
    docs = read_field_docs(cls.__base__) if cls.__base__ and is_dataclass(cls.__base__) else {}
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError):  # made at run time
        return docs
    assert isinstance(tree, ast.ClassDef)
    for node, following in zip(tree.body, tree.body[1:], strict=False):
        match node, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
    return docs

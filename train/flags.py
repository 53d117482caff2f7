"""Flat flags of a nested configuration: `texneg pretrain RECIPE --queue 4096 --patch-flip`.

Every field of every part of a configuration is a flag; those of a kind of negatives bear its name in front.
`change` does in a program what the flags do on the command line.
"""

import ast
import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_type_hints

from texneg.cli.fields import Positional
from texneg.cli.main import parse
from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.methods import METHODS
from texneg.train.negatives import KINDS, Negatives
from texneg.train.objectives import LOSSES, Objective
from texneg.train.options import find_named
from texneg.train.recipes import RECIPES, find_recipe, list_recipes

CHOICES: dict[str, Sequence[Any]] = {"method": METHODS, "loss": LOSSES, "negatives": KINDS}
"""Flags that choose a class, whose fields are flags then."""


def change(config: PretrainConfig, **flags: Any) -> PretrainConfig:
    """Change a configuration by the names of its flags: `change(recipe, lr=0.1, negatives="patch")`.

    Another method, loss or kind of negatives begins with its own defaults; a method brings the loss that it
    is published with.

    Raises:
        InputError: a flag that this configuration does not have, or a name that chooses nothing.
    """
    config = choose(config, flags)
    rest = {name: value for name, value in flags.items() if name not in (*CHOICES, "mixture")}
    config = replace(config, **{name: rest.pop(name) for name in ("recipe", "seed") if name in rest})
    count = rest.pop("count", config.negatives.count)
    config = replace(config, negatives=replace(config.negatives, count=count))
    parts = parts_of(config)
    for group, part in parts.items():
        names = [f.name for f in fields(part) if prefix_of(group) + f.name in rest]
        parts[group] = replace(part, **{name: rest.pop(prefix_of(group) + name) for name in names})
    for name in rest:
        raise InputError(explain_unknown(config, name))
    return with_parts(config, parts)


def choose(config: PretrainConfig, flags: dict[str, Any]) -> PretrainConfig:
    """Choose the classes that `CHOICES` and `mixture` name; those that are there keep their options."""
    if "method" in flags:
        method = find_named(METHODS, flags["method"], "--method")
        if type(config.method) is not method:
            config = replace(config, method=method(), objective=Objective(method.loss()))
    if "loss" in flags:
        loss = find_named(LOSSES, flags["loss"], "--loss")
        if type(config.objective.loss) is not loss:
            config = replace(config, objective=replace(config.objective, loss=loss()))
    return replace(config, negatives=choose_negatives(config.negatives, flags))


def choose_negatives(negatives: Negatives, flags: dict[str, Any]) -> Negatives:
    """Choose the kinds that `negatives` and `mixture` name."""
    current = {kind.name: (kind, share) for kind, share in negatives.kinds}
    if len(current) < len(negatives.kinds):
        raise InputError("flags cannot tell apart two negatives of one kind; change the configuration itself")
    name, mixture = flags.get("negatives", kind_name(negatives)), tuple(flags.get("mixture", ()))
    if (name == "mixture") != bool(mixture or (name == "mixture" and len(current) > 1)):
        raise InputError(
            "--negatives mixture and --mixture belong together: --negatives mixture --mixture patch 0.5"
            " texture_live 0.5"
        )
    if name == "mixture":
        shares = mixture or tuple((kind, share) for kind, (_, share) in current.items())
    else:
        shares = () if name == "none" else ((name, 1.0),)
    chosen_by = "mixture" if name == "mixture" else "negatives"
    names = [kind for kind, _ in shares]
    if len(set(names)) < len(names):
        words = " ".join(f"{kind} {share:g}" for kind, share in shares)
        raise InputError(f"--mixture {words}: name each kind once")
    kinds = [
        (current[kind][0] if kind in current else find_named(KINDS, kind, f"--{chosen_by}")(), share)
        for kind, share in shares
    ]
    return replace(negatives, kinds=tuple(kinds))


def kind_name(negatives: Negatives) -> str:
    """Return the value of --negatives."""
    if len(negatives.kinds) > 1:
        return "mixture"
    return negatives.kinds[0][0].name if negatives.kinds else "none"


def parts_of(config: PretrainConfig) -> dict[str, Any]:
    """Return the parts whose fields are flags, by the titles of their groups."""
    return {
        "run": config.run,
        "views": config.views,
        "network": config.network,
        "optimisation": config.optimisation,
        f"method {config.method.name}": config.method,
        "selection": config.objective.selection,
        f"loss {config.objective.loss.name}": config.objective.loss,
        **{f"negatives {kind.name}": kind for kind, _ in config.negatives.kinds},
    }


def with_parts(config: PretrainConfig, parts: dict[str, Any]) -> PretrainConfig:
    """Put the values of `parts_of` back in place."""
    run, views, network, optimisation, method, selection, loss, *kinds = parts.values()
    shares = [share for _, share in config.negatives.kinds]
    return replace(
        config,
        run=run,
        views=views,
        network=network,
        optimisation=optimisation,
        method=method,
        objective=Objective(loss, selection),
        negatives=replace(config.negatives, kinds=tuple(zip(kinds, shares, strict=True))),
    )


def prefix_of(group: str) -> str:
    """Return what stands before a field's name in the flags of a group."""
    choice, _, name = group.partition(" ")
    return f"{name}_" if choice == "negatives" else ""


def explain_unknown(config: PretrainConfig, name: str) -> str:
    """Name the class that a flag belongs to, or the flag that may have been meant."""
    flag = f"--{name.replace('_', '-')}"
    for choice, table in CHOICES.items():
        for cls in table:
            if name in [prefix_of(f"{choice} {cls.name}") + f.name for f in fields(cls)]:
                return f"{flag} is an option of --{choice} {cls.name}, which is not chosen; leave it out"
    known = [prefix_of(group) + f.name for group, part in parts_of(config).items() for f in fields(part)]
    near = get_close_matches(name, [*known, *CHOICES, "mixture", "count", "seed"], n=1)
    hint = f"; did you mean --{near[0].replace('_', '-')}?" if near else ""
    return f"{flag} is not understood{hint}"


def read_flags(words: list[str]) -> PretrainConfig:
    """Read a configuration from a command line: the name of a recipe, then flags that change it.

    Raises:
        InputError: no recipe, a choice that names nothing, a flag that is not there.
    """
    if words and words[0] in ("-h", "--help"):
        flags = flags_of(PretrainConfig())
    elif not words or words[0].startswith("-"):
        names = ", ".join(made.__name__ for made in RECIPES)
        raise InputError(f"name a recipe first: texneg pretrain RECIPE --data DIR; recipes: {names}")
    else:
        flags = flags_of(choose(find_recipe(words[0]), scan_choices(words)))
    values: dict[str, Any] = {}
    for name, value in vars(parse(type(flags), "pretrain", words, default=flags)).items():
        values |= {name: value} if name in TOP else vars(value)
    return change(flags.base, **values)


class Flags:
    """The flags of one command line; `flags_of` makes the class with the fields that its choices have."""

    base: PretrainConfig

    def explain_unknown(self, name: str) -> str:
        """Say what is wrong with a flag that this command line does not have."""
        return explain_unknown(self.base, name)


TOP = ("recipe", "method", "loss", "negatives", "mixture", "count", "seed")


def scan_choices(words: Sequence[str]) -> dict[str, Any]:
    """Find the flags that choose classes; those that are incomplete are left to the parser."""
    found: dict[str, Any] = {}
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--")
        following = [value] if equals else list(words[i + 1 :])
        end = next((j for j, other in enumerate(following) if other.startswith("--")), len(following))
        if flag == "--mixture":
            try:
                pairs = zip(following[:end:2], following[1:end:2], strict=True)
                found["mixture"] = tuple((kind, float(share)) for kind, share in pairs)
            except ValueError:
                continue
        elif flag.startswith("--") and name in CHOICES and end:
            found[name] = following[0]
    return found


def flags_of(config: PretrainConfig) -> Flags:
    """Make the flags of a configuration, each with its present value as default, in groups."""
    mixed = kind_name(config.negatives) == "mixture"
    shares = tuple((kind.name, share) for kind, share in config.negatives.kinds) if mixed else ()
    top: dict[str, tuple[Any, str, Any]] = {
        "recipe": (Positional[str], "Name of a recipe, whose values are the defaults below.", config.recipe),
        "method": (literal(METHODS), "Where positives and negatives come from.", config.method.name),
        "loss": (literal(LOSSES), "What is minimised.", config.objective.loss.name),
        "negatives": (
            literal(KINDS, "none", "mixture"),
            "Non-semantic negatives; mixture: a kind drawn for each.",
            kind_name(config.negatives),
        ),
        "mixture": (
            tuple[tuple[literal(KINDS), float], ...],  # type: ignore[misc]
            "Kinds and their probabilities for --negatives mixture: patch 0.5 texture_live 0.5.",
            shares,
        ),
        "count": (int, "Non-semantic negatives a query (of kind texture: 1).", config.negatives.count),
        "seed": (int, "Of weights, order, views and negatives.", config.seed),
    }
    members = [flag(name, *told) for name, told in top.items()]
    for group, part in parts_of(config).items():
        members.append(group_of(group, part, prefix_of(group)))
    doc = (
        "Train a recipe; a flag that is left out keeps the value shown, that of the recipe. The options of"
        " another method, loss or kind of negatives are shown once it is chosen, for example: texneg pretrain"
        f" RECIPE --negatives texture_live --help\n\nRecipes:{list_recipes()}"
    )
    made: Any = make_dataclass("Flags", members, bases=(Flags,), namespace={"__doc__": doc, "base": config})
    flags: Flags = made()
    return flags


def literal(table: Sequence[Any], *others: str) -> Any:
    """The type of a choice among the classes of a table and some other names."""
    return Literal[(*others[:1], *(cls.name for cls in table), *others[1:])]


def group_of(title: str, part: Any, prefix: str) -> tuple[str, Any, Any]:
    """A group of flags: a dataclass with the fields of a part, under their names as flags."""
    import tyro

    hints, docs = get_type_hints(type(part)), field_docs(type(part))
    members = [
        flag(prefix + f.name, hints[f.name], docs.get(f.name, ""), getattr(part, f.name))
        for f in fields(part)
    ]
    doc = (type(part).__doc__ or "").partition("\n")[0]
    made: Any = make_dataclass("Group", members, namespace={"__doc__": doc})
    return title.replace(" ", "_"), Annotated[made, tyro.conf.OmitArgPrefixes], field(default_factory=made)


def flag(name: str, hint: Any, text: str, value: Any) -> tuple[str, Any, Any]:
    """A field of a class of flags."""
    import tyro

    return name, Annotated[hint, tyro.conf.arg(help=text)], field(default=value)


def field_docs(cls: type) -> dict[str, str]:
    """The strings that follow the fields of a dataclass in its source."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError):  # made at run time
        return {}
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for node, following in zip(tree.body, tree.body[1:], strict=False):
        match node, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = inspect.cleandoc(text)
    return docs

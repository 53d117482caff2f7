"""Classes that a name chooses: kinds of negatives, methods, losses.

Each is a frozen dataclass whose fields are its options, with a class attribute `name`. The tables of them are
plain lists, so that a program may append a class of its own.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, asdict, field, fields
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

from texneg.errors import InputError


class Named(Protocol):
    """A class with a name, or its instance."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


C = TypeVar("C", bound=Named)
T = TypeVar("T")


def find_named(table: Sequence[type[C]], name: str, flag: str, *others: str) -> type[C]:
    """Return the class of a table that has this name.

    Raises:
        InputError: there is none; lists those there are, and the `others` that the flag takes.
    """
    for cls in table:
        if cls.name == name:
            return cls
    names = ", ".join([*(cls.name for cls in table), *others])
    raise InputError(f"{flag} {name}: choose from {names}; a class of your own is appended to their table")


def later(default: T) -> T:
    """Make a field that an earlier version did not have, with what that version did as its default.

    Settings leave it out at its default, so that folders of runs made before go on.
    """
    made: T = field(default=default, metadata={"later": True})
    return made


def to_settings(part: Any) -> dict[str, Any]:
    """Write the fields of a part of a configuration, without `later` ones at their defaults."""
    unused = {f.name for f in fields(part) if f.metadata.get("later") and getattr(part, f.name) == f.default}
    return {name: value for name, value in asdict(part).items() if name not in unused}


def to_plain(option: Named) -> dict[str, Any]:
    """Write an instance as its name and the fields of `to_settings`."""
    return {"name": option.name, **to_settings(option)}


def from_plain(table: Sequence[type[C]], plain: Mapping[str, Any], flag: str) -> C:
    """Read what `to_plain` wrote, by way of JSON or not.

    Raises:
        InputError: a name that is not in the table, or fields that its class does not have.
    """
    options = dict(plain)
    cls = find_named(table, options.pop("name", ""), flag)
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    try:
        return cls(**given)
    except TypeError as error:
        raise InputError(
            f"{flag} {cls.name} has no such options ({error}); it was written otherwise"
        ) from error


def parse_option(table: Sequence[type[C]], text: str, flag: str) -> C:
    """Read a class and its options from one word: `patch`, `patch:paper`, `patch:size=8-24,no-overlap`.

    Raises:
        InputError: a name that is not in the table, an option that its class does not have, or a value that
            it does not take.
    """
    name, _, options = text.partition(":")
    cls = find_named(table, name, flag)
    types = get_type_hints(cls)
    hints = {one.name: types[one.name] for one in fields(cls)}
    given: dict[str, Any] = {}
    for word in filter(None, options.split(",")):
        option, equals, value = word.partition("=")
        negated = option.startswith("no-") and not equals
        option = option.removeprefix("no-" if negated else "").replace("-", "_")
        hint = hints.get(option)
        if hint is None or (hint is bool) == bool(equals):
            known = [f"{one} or no-{one}" if kind is bool else f"{one}=..." for one, kind in hints.items()]
            shown = ", ".join(known) or "none"
            raise InputError(f"{flag} {text}: {word} is no option of {name}; its options are {shown}")
        given[option] = not negated if hint is bool else parse_value(hint, value, f"{flag} {text}: {option}")
    return cls(**given)


def parse_value(hint: Any, text: str, flag: str) -> Any:
    """Read a number, a range of whole numbers such as 8-24, or a word, of the type that a field has.

    Raises:
        InputError: the type does not take it.
    """
    allowed = []
    inner = get_args(hint)
    for kind in (
        hint,
        *inner,
        *(word for one in inner for word in get_args(one) if get_origin(one) is Literal),
    ):
        if kind in (int, float):
            with suppress(ValueError):
                return kind(text)
            allowed.append("a number")
        if get_origin(kind) is tuple:
            if re.fullmatch(r"\d+-\d+", text):
                return tuple(map(int, text.split("-")))
            allowed.append("a range such as 8-24")
        if kind is str or kind == text:
            return text
        if isinstance(kind, str):
            allowed.append(kind)
    raise InputError(f"{flag} takes {' or '.join(allowed)}, not {text!r}")


def describe(option: Named) -> str:
    """Name an instance with the options that differ from their defaults: `patch size 16-72 no overlap`."""
    words = [option.name]
    for one in fields(option):
        value = getattr(option, one.name)
        if value == one.default:
            continue
        if isinstance(value, bool):
            words.append(one.name if value else f"no {one.name}")
        else:
            shown = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"{one.name} {shown}")
    return " ".join(words)


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write nested settings under the names of their flags: {"method": {"name": "moco", "queue": 512}, ...}
    becomes method "moco", queue 512.

    Fields of a kind of negatives bear its name in front, and its number where it is there more than once.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "kinds":
            names = [kind["name"] for kind in value]
            for number, kind in enumerate(value, start=1):
                label = kind["name"] if names.count(kind["name"]) == 1 else f"{kind['name']}{number}"
                flat[label] = kind["share"]
                flat |= {f"{label}_{k}": v for k, v in kind.items() if k not in ("name", "share")}
        elif isinstance(value, Mapping):
            inner = dict(value)
            if "name" in inner:
                flat[name] = inner.pop("name")
            flat |= flatten(inner)
        else:
            flat[name] = value
    return flat

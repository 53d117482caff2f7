"""Classes that a name chooses: kinds of negatives, methods, losses.

Each is a frozen dataclass whose fields are its options, with a class attribute `name`. The tables of them are
plain lists, so that a program may append a class of its own.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, asdict, fields
from typing import Any, ClassVar, Protocol, TypeVar, get_args, get_origin, get_type_hints

from texneg.errors import InputError


class Named(Protocol):
    """A class with a name, or its instance."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


C = TypeVar("C", bound=Named)


def find_named(table: Sequence[type[C]], name: str, flag: str) -> type[C]:
    """Return the class of a table that has this name.

    Raises:
        InputError: there is none; lists those there are.
    """
    for cls in table:
        if cls.name == name:
            return cls
    names = ", ".join(cls.name for cls in table)
    raise InputError(f"{flag} {name}: choose from {names}; a class of your own is appended to their table")


def to_plain(option: Named) -> dict[str, Any]:
    """Write an instance as its name and fields."""
    return {"name": option.name, **asdict(option)}


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
    hints, known, given = get_type_hints(cls), [field.name for field in fields(cls)], dict[str, Any]()
    for word in filter(None, options.split(",")):
        option, equals, value = word.partition("=")
        option, negated = option.removeprefix("no-").replace("-", "_"), option.startswith("no-")
        hint = hints[option] if option in known else None
        if hint is None or (hint is bool) == bool(equals):
            shown = ", ".join(f"{one} or no-{one}" if hints[one] is bool else f"{one}=..." for one in known)
            raise InputError(
                f"{flag} {text}: {word} is no option of {name}; its options are {shown or 'none'}"
            )
        given[option] = not negated if hint is bool else parse_value(hint, value, f"{flag} {text}: {option}")
    return cls(**given)


def parse_value(hint: Any, text: str, flag: str) -> Any:
    """Read a number, a range of whole numbers such as 8-24, or a word, of the type that a field has.

    Raises:
        InputError: the type does not take it.
    """
    allowed = []
    for kind in (hint, *get_args(hint)):
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


def changed_options(option: Named) -> dict[str, Any]:
    """Fields of an instance that differ from their defaults."""
    values = {field.name: (getattr(option, field.name), field.default) for field in fields(option)}
    return {name: value for name, (value, default) in values.items() if value != default}


def describe(option: Named) -> str:
    """Name an instance with the options that differ from their defaults: `patch size 16-72 no overlap`."""
    words = [option.name]
    for name, value in changed_options(option).items():
        if isinstance(value, bool):
            words.append(name if value else f"no {name}")
        else:
            shown = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"{name} {shown}")
    return " ".join(words)


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write nested settings under the names of their flags: {"method": {"name": "moco", "queue": 512}, ...}
    becomes method "moco", queue 512; fields of a kind of negatives bear its name in front.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "kinds":
            for kind in value:
                flat[kind["name"]] = kind["share"]
                flat |= {f"{kind['name']}_{k}": v for k, v in kind.items() if k not in ("name", "share")}
        elif isinstance(value, Mapping):
            inner = dict(value)
            if "name" in inner:
                flat[name] = inner.pop("name")
            flat |= flatten(inner)
        else:
            flat[name] = value
    return flat

"""The command line: a table of verbs, each imported only when it is called."""

import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, Literal, TypeAlias, get_origin, get_type_hints

from texneg import __version__
from texneg.cli.guard import refuse_rerun
from texneg.cli.signals import catch_stop_signals
from texneg.errors import InputError, RunFailed, describe_error

Verbs: TypeAlias = dict[str, tuple[str, str]]  # verb: (`module:function` or `module:table of verbs`, summary)

VERBS: Verbs = {
    "demo": ("texneg.train.demo.demo:demo", "all of texneg in two acts, on a CPU in minutes"),
    "synth": ("texneg.synth.synth:synth", "make one texture for every image of a data set, through Dask"),
    "corrupt": ("texneg.synth.corrupt:corrupt", "corrupted copies of a test set in ImageNet-C's layout"),
    "cues": ("texneg.datasets.cues.cues:cues", "test sets of shape alone and texture alone, of your classes"),
    "synth-status": ("texneg.synth.status:synth_status", "how far such a run is, what failed and why"),
    "verify": ("texneg.synth.verify:verify", "check every output of a run against its manifest"),
    "export": (
        "texneg.synth.export.export:export",
        "a finished run as Parquet, litdata or imagefolder",
    ),
    "sheet": ("texneg.train.sheet.sheet:sheet", "contact sheet: images beside any kinds of negatives"),
    "audit": ("texneg.train.audit.audit:audit", "how easily negatives are told, and what they leak"),
    "cache": (
        "texneg.train.data.cache:cache",
        "training images decoded and shrunk once, for fast loading",
    ),
    "pretrain": ("texneg.train.pretrain:pretrain", "train a method with or without non-semantic negatives"),
    "study": ("texneg.train.sweep:study", "train and test a sweep of settings with several seeds"),
    "convert": ("texneg.train.convert:convert", "any encoder to a file that timm or torchvision loads"),
    "probe": ("texneg.train.evaluate.probe:probe", "linear probe on frozen features"),
    "finetune": ("texneg.train.finetune:finetune", "an encoder and a head trained on some of the labels"),
    "knn": ("texneg.train.evaluate.knn:knn", "k-nearest-neighbour accuracy of frozen features"),
    "ood": ("texneg.train.evaluate.ood:ood", "accuracy and shape bias on out-of-distribution test folders"),
    "analyze": (
        "texneg.train.evaluate.analyze:analyze",
        "analyses of a frozen encoder, such as its negatives' similarity",
    ),
    "report": ("texneg.train.report.report:report", "one self-contained HTML file from finished runs"),
    "published": (
        "texneg.train.report.published:published",
        "published networks: lines of accuracy, and shape bias beside it",
    ),
    "bench": ("texneg.bench.bench:BENCHMARKS", "benchmarks: speed beside peers and limits, scale, kills"),
    "doctor": ("texneg.cli.doctor:doctor", "what this machine has, as a bug report needs it"),
}

STOPPED = 130


def usage(verbs: Verbs, prog: str) -> str:
    """Return the list of verbs as text."""
    width = 2 + max(map(len, verbs))
    lines = [f"  {verb:<{width}}{summary}" for verb, (_, summary) in verbs.items()]
    return "\n".join(
        [
            f"texneg {__version__}: negatives with diminished semantics for contrastive vision models",
            "",
            f"usage: {prog} VERB [options]      {prog} VERB --help explains a verb's options",
            "",
            *lines,
        ]
    )


def find(target: str) -> Any:
    """Import `module:name`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def load(target: str) -> tuple[Callable[[Any], int], type]:
    """Import `module:function` and return the function with the config class of its one argument."""
    function = find(target)
    return function, get_type_hints(function)["config"]


def parse(
    config: type,
    verb: str,
    argv: list[str],
    default: Any = None,
    explain: Callable[[str], str] | None = None,
) -> Any:
    """Parse the command line of a verb: flags are flat, and the parts of the configuration group the help.

    Args:
        config: a dataclass; its fields, and those of the dataclasses among them, are the flags.
        verb: for messages.
        argv: the words after the verb.
        default: an instance whose values are the defaults.
        explain: returns the message for the name of a flag that is not there.

    Raises:
        InputError: a flag that is not there, or a value that it does not take.
    """
    parsed, unknown = parse_known(config, verb, argv, default)
    if unknown:
        word = unknown[0].partition("=")[0]
        if not word.startswith("-"):
            switch = next((w.partition("=")[0] for w in argv if w.endswith(f"={unknown[0]}")), None)
            reason = f"{switch} takes no value" if switch else f"{unknown[0]!r} belongs to no flag"
            raise InputError(f"{reason}; leave it out, or see texneg {verb} --help")
        if explain and word.startswith("--"):
            raise InputError(explain(word[2:].replace("-", "_")))
        near = get_close_matches(word, annotate(config), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"{word} is not understood; {hint}texneg {verb} --help lists what is")
    return parsed


def parse_known(config: type, verb: str, argv: list[str], default: Any = None) -> tuple[Any, list[str]]:
    """Parse a command line as `parse` does; also returns the words that belong to no flag of the config.

    Raises:
        InputError: a value that a flag does not take.
    """
    import tyro

    annotate(config)
    # Where defaults come from elsewhere, a flag must be able to turn on and off, and to say None.
    plain = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone) if default is None else ()
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            known: tuple[Any, list[str]] = tyro.cli(
                config,
                args=argv,
                default=default,
                prog=f"texneg {verb}",
                config=(tyro.conf.OmitArgPrefixes, *plain),
                return_unknown_args=True,
            )
    except SystemExit as ended:
        if not ended.code:  # --help
            raise
        raise InputError(f"{condense(complaint.getvalue())}; see texneg {verb} --help") from None
    return known


def condense(box: str) -> str:
    """Write the parser's framed complaint in one line: its first section, without frame and heading."""
    lines = [line.strip("│").rstrip() for line in box.splitlines()[1:]]
    rules = [i for i, line in enumerate(lines) if re.fullmatch(r"[─-]+", line.strip())]
    if rules[:1] == [0]:  # frames without Unicode have a rule below the heading, too
        lines, rules = lines[1:], [i - 1 for i in rules[1:]]
    section = [line for line in lines[: rules[0] if rules else None] if line.strip()]
    if section and section[0].strip().startswith("Missing from"):
        margin = len(section[0]) - len(section[0].lstrip()) + 4
        names = [line.split()[0] for line in section[1:] if re.match(rf" {{{margin}}}\S", line)]
        return f"give {' and '.join(names)}"
    text = re.sub(r"\[/?bold\]", "", " ".join(" ".join(section).partition("Got errors")[0].split()))
    return explain_value(text.rstrip("."))


def explain_value(text: str) -> str:
    """Write the parser's complaint of a value as ours are: flag and value, then what is allowed."""
    if found := re.fullmatch(r"invalid choice '(.*)' for argument '(\S+)'\. Expected one of \((.*)\)", text):
        return f"{found[2]} {found[1]}: choose from {found[3].replace(chr(39), '').rstrip(',')}"
    if found := re.fullmatch(r"Missing value for argument '(\S+)'\. Expected (\d+) values", text):
        return f"{found[1]}: give {'a value' if found[2] == '1' else f'{found[2]} values'}"
    found = re.fullmatch(
        r"Error parsing (\S+): (?:invalid literal for (int)\(\) with base 10:|could not convert string to"
        r" (float):|no type matching (.+) could be instantiated from) \[?'(.*)'\]?",
        text,
    )
    if not found:
        return text
    kinds, given = found[4] or found[2] or found[3], found[5].replace("', '", " ")
    return f"{found[1]} {given}: give {' or '.join(map(describe_kind, kinds.split('|')))}"


def describe_kind(kind: str) -> str:
    """Write the parser's name of a type, or of a tuple of one: `{INT INT}`."""
    names = kind.strip("{}").split() or [kind]
    singular = {"int": "a whole number", "float": "a number"}.get(names[0].lower(), names[0])
    return singular if len(names) == 1 else f"{len(names)} {singular.removeprefix('a ')}s"


def annotate(config: type) -> list[str]:
    """Set how the help shows each field of a config and of its parts, and list their flags.

    A positional argument is shown by its name.
    """
    import tyro

    flags: list[str] = []
    hints = get_type_hints(config, include_extras=True)
    for name, hint in ((field.name, hints[field.name]) for field in fields(config)):
        bare = hint.__origin__ if hasattr(hint, "__metadata__") else hint
        if isinstance(bare, type) and is_dataclass(bare):
            flags += annotate(bare)
            continue
        positional = tyro.conf.Positional in getattr(hint, "__metadata__", ())
        named = positional and get_origin(hint.__origin__) is not Literal
        shown = tyro.conf.arg(metavar=name.upper() if named else None, help_behavior_hint=default_shown)
        config.__annotations__[name] = Annotated[hint, shown]
        flags.append(f"--{name.replace('_', '-')}")
    return flags


def default_shown(value: str) -> str:
    """Return the text of a default in the help; empty where leaving the option out means doing without."""
    return "" if value in ("None", "", "''", "False") else f"(default: {value})"


def main(argv: list[str] | None = None) -> int:
    """Run one verb; 0 success, 1 failures beyond what was allowed, 2 wrong input, 130 interrupted."""
    refuse_rerun()
    open_closed_streams()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # they name no image; each has its outcome anyway
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--version"]:
        print(__version__)
        return 0
    return call(VERBS, "", argv)


def call(verbs: Verbs, above: str, argv: list[str]) -> int:
    """Call the verb that `argv` begins with; after one that leads to a table comes a verb of that table."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage(verbs, f"texneg {above}".strip()))
        return 0
    if argv[0] not in verbs:
        return complain(above, f"no verb {argv[0]!r}; choose from: {', '.join(verbs)}", 2)
    target, verb, rest = verbs[argv[0]][0], f"{above} {argv[0]}".strip(), argv[1:]
    with catch_stop_signals(patience=0) as stop:
        try:
            if isinstance(table := find(target), dict):
                return call(table, verb, rest)
            function, config = load(target)
            own = getattr(sys.modules[function.__module__], "read_command", None)  # flags depend on a table
            return function(own(rest) if own else parse(config, verb, rest))
        except BrokenPipeError:  # the reader of our output has seen enough
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (so that the flush at exit is silent too)
            return 0
        except InputError as error:
            return complain(verb, str(error), 2)
        except RunFailed as error:
            return complain(verb, str(error), 1)
        except OSError as error:
            place = "" if error.filename is None else f"{error.filename}: "
            return complain(verb, f"{place}{describe_error(error)}", 1)
        except (Exception, KeyboardInterrupt) as error:
            # An interrupt amid a callback of compiled code comes out as an error of that code.
            if not (stop.is_set() or isinstance(error, KeyboardInterrupt)):
                raise
            return complain(verb, "interrupted; run the same command again to go on", STOPPED)


def open_closed_streams() -> None:
    """Reopen standard streams that a daemon closed, so that no other file gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def complain(verb: str, message: str, status: int) -> int:
    """Print one line on standard error; return the status."""
    print(f"{f'texneg {verb}'.strip()}: {message}", file=sys.stderr)
    return status

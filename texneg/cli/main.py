"""The command line: a table of verbs, each imported only when it is called."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, Literal, get_origin, get_type_hints

from texneg import __version__
from texneg.errors import InputError, RunFailed

VERBS = {
    "demo": ("texneg.train.demo:demo", "the whole story on the embedded data set, on a CPU in minutes"),
    "synth": ("texneg.synth.run:synth", "make one texture for every image of a data set, through Dask"),
    "synth-status": ("texneg.synth.status:synth_status", "how far a texture run is, what failed and why"),
    "verify": ("texneg.synth.verify:verify", "check every texture of a run against its manifest"),
    "sheet": ("texneg.train.sheet.sheet:sheet", "contact sheet: images beside any kinds of negatives"),
    "pretrain": ("texneg.train.pretrain:pretrain", "train MoCo-v2 or BYOL with or without negatives"),
    "probe": ("texneg.train.evaluate.probe:probe", "linear probe on frozen features"),
    "knn": ("texneg.train.evaluate.knn:knn", "k-nearest-neighbour accuracy of frozen features"),
    "ood": ("texneg.train.evaluate.ood:ood", "accuracy and shape bias on out-of-distribution test folders"),
    "analyze": ("texneg.train.evaluate.analyze:analyze", "similarity histograms of positives and negatives"),
    "report": ("texneg.train.report.report:report", "one self-contained HTML file from finished runs"),
    "bench": ("texneg.bench.bench:bench", "speed as ratios against peers and limits, in one run"),
}

STOPPED = 130


def usage() -> str:
    """The list of verbs."""
    lines = [f"  {verb:<14}{summary}" for verb, (_, summary) in VERBS.items()]
    return "\n".join(
        [
            f"texneg {__version__}: negatives with diminished semantics for contrastive vision models",
            "",
            "usage: texneg VERB [options]      texneg VERB --help explains a verb's options",
            "",
            *lines,
        ]
    )


def load(target: str) -> tuple[Callable[[Any], int], type]:
    """Import `module:function`; the function, and the config class of its one argument."""
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)
    return function, get_type_hints(function)["config"]


def parse(config: type, verb: str, argv: list[str]) -> Any:
    """The config of a verb from its command line: flags are flat, and the config's parts group the help."""
    import tyro

    flags = annotate(config)
    begin = getattr(config, "begin", None)  # a config whose defaults depend on the first word
    markers = (
        tyro.conf.OmitArgPrefixes,
        tyro.conf.FlagCreatePairsOff,
        *(() if begin else (tyro.conf.DisallowNone,)),
    )
    parsed, unknown = tyro.cli(
        config,
        args=argv,
        default=begin(argv) if begin else None,
        prog=f"texneg {verb}",
        config=markers,
        return_unknown_args=True,
    )
    if unknown:
        word = unknown[0].partition("=")[0]
        near = get_close_matches(word, flags, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"{word} is not understood; {hint}texneg {verb} --help lists what is")
    return parsed


def annotate(config: type) -> list[str]:
    """Set how the help shows each field of a config and of its parts, and list their flags.

    A positional argument is shown by its name.
    """
    import tyro

    flags: list[str] = []
    for name, hint in get_type_hints(config, include_extras=True).items():
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
    """Text of a default in the help; empty where leaving the option out means doing without."""
    return "" if value in ("None", "", "''", "False") else f"(default: {value})"


def main(argv: list[str] | None = None) -> int:
    """Run one verb; 0 success, 1 failures beyond what was allowed, 2 wrong input, 130 interrupted."""
    open_closed_streams()
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        print(__version__)
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        print(f"texneg: no verb {verb!r}; choose from: {', '.join(VERBS)}", file=sys.stderr)
        return 2
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        function, config = load(VERBS[verb][0])
        return function(parse(config, verb, rest))
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (so that the flush at exit is silent too)
        return 0
    except InputError as error:
        return complain(verb, str(error), 2)
    except (RunFailed, OSError) as error:
        return complain(verb, str(error), 1)
    except KeyboardInterrupt:
        return complain(verb, "interrupted; run the same command again to go on", STOPPED)
    finally:
        signal.signal(signal.SIGTERM, before)


def open_closed_streams() -> None:
    """Reopen standard streams that a daemon closed, so that no other file gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def complain(verb: str, message: str, status: int) -> int:
    """Print one line to standard error and return the status."""
    print(f"texneg {verb}: {message}", file=sys.stderr)
    return status

"""Who a run is: what `config.json` in its ledger says, and a run that may start."""

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from texneg.datasets.storage.places import place, resolved
from texneg.errors import InputError
from texneg.synth.config import SynthConfig
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.versions import Versions, versions
from texneg.synth.plan.plan import Plan
from texneg.synth.plan.settings import Settings


@dataclass(frozen=True)
class Run:
    """A run that may start."""

    ledger: Ledger
    plan: Plan
    settings: Settings
    src: str
    versions: Versions
    """Of the process that began it."""


def new_record(config: SynthConfig, settings: Settings, ledger: Ledger) -> dict[str, Any]:
    """What `config.json` of a run says that begins now."""
    return {
        "command": config.command(),
        "src": str(resolved(place(config.src))),
        "dst": str(resolved(ledger.dst)),
        "settings": asdict(settings),
        "seed": config.seed,
        "fingerprint": ledger.fingerprint,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": os.uname().nodename,
    }


def opened(ledger: Ledger) -> tuple[Ledger, dict[str, Any]]:
    """The ledger with the fingerprint of its run, and what `config.json` says.

    Raises:
        InputError: there is no run.
    """
    record = load_record(ledger)
    return replace(ledger, fingerprint=record["fingerprint"]), record


def load_record(ledger: Ledger) -> dict[str, Any]:
    """What `config.json` says about a run.

    Raises:
        InputError: there is no run.
    """
    try:
        return json.loads(ledger.config.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{ledger.root} holds no run of texneg synth; give the DST of one") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{ledger.config} is damaged ({error}); remove {ledger.root} and {ledger.dst}"
        ) from None

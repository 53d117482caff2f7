"""Taking away an earlier run: only files that its ledger lists."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from texneg.datasets.names import unescape
from texneg.errors import InputError
from texneg.synth.ledger import Ledger
from texneg.synth.plan import load_plan, out_name, read_items
from texneg.synth.record import load_record
from texneg.synth.settings import Settings


def clear(ledger: Ledger) -> None:
    """Delete what the ledger's plan lists, then the ledger; other files in DST stay.

    The markers go first and the plan last: whenever this is cut short, nothing that is gone counts as done.

    Raises:
        InputError: no ledger, and DST is not empty: nothing says whose files they are.
    """
    if not ledger.config.exists():
        if ledger.dst.is_dir() and any(ledger.dst.iterdir()):
            raise InputError(
                f"{ledger.dst} is not empty and has no ledger {ledger.root}; choose an empty or a new folder"
            )
        return
    stored = load_record(ledger)
    settings, plan = Settings(**stored["settings"]), load_plan(ledger.plan)
    ledger = replace(ledger, fingerprint=stored["fingerprint"])
    for folder in ("done", "parts", "manifest"):
        shutil.rmtree(ledger.root / folder, ignore_errors=True)
    for shard in plan.shards:
        names = (
            [shard.tar]
            if shard.tar
            else (
                out_name(item, shard, settings, plan.source["kind"])
                for item in read_items(ledger.plan, shard)
            )
        )
        for name in names:
            (ledger.dst / unescape(name)).unlink(missing_ok=True)
    for path in list(ledger.temporaries()):
        path.unlink(missing_ok=True)
    for folder, _, _ in os.walk(ledger.dst, topdown=False):
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    ledger.config.unlink()
    for path in ledger.root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != ledger.lock:
            path.unlink()

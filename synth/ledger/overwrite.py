"""Taking away an earlier run: only files that its ledger lists."""

from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import is_empty, listed, remove_all, remove_empty_folders, remove_tree
from texneg.errors import InputError
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import opened
from texneg.synth.plan.plan import load_plan, output_names
from texneg.synth.plan.settings import Settings


def clear(ledger: Ledger) -> None:
    """Delete what the ledger's plan lists, then the ledger; other files in DST stay.

    The markers go first and the plan last: whenever this is cut short, nothing that is gone counts as done.

    Raises:
        InputError: no ledger, and DST is not empty: nothing says whose files they are.
    """
    if not ledger.config.exists():
        if not is_empty(ledger.dst):
            raise InputError(
                f"{ledger.dst} is not empty and has no ledger {ledger.root}; choose an empty or a new folder"
            )
        return
    ledger, stored = opened(ledger)
    settings, plan = Settings(**stored["settings"]), load_plan(ledger.plan)
    for folder in ("done", "parts", "manifest"):
        remove_tree(ledger.root / folder)
    for shard in plan.shards:
        remove_all(ledger.dst / unescape(name) for name in output_names(plan, shard, settings))
    remove_all(list(ledger.temporaries()))
    remove_empty_folders(ledger.dst)
    ledger.config.unlink()
    for entry in listed(ledger.root):
        if entry.is_dir():
            remove_tree(ledger.root / entry.name)
        elif entry.name != ledger.lock.name:
            (ledger.root / entry.name).unlink()

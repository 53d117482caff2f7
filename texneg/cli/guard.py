"""Scripts without a `__main__` guard, which every process that they start begins to run again."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import current_process
from pathlib import Path

NOTE = "TEXNEG_RERUN_NOTE"
ADVICE = (
    "texneg: the processes that this script starts each run the script again;"
    ' put its calls below a line if __name__ == "__main__":'
)
WRONG_USAGE = 2


def refuse_rerun() -> None:
    """End a process that runs its parent's script again instead of its own work, and leave a note of it.

    Raises:
        SystemExit: it is such a process.
    """
    if not getattr(current_process(), "_inheriting", False):  # set while a process loads its parent's script
        return
    if note := os.environ.get(NOTE):
        with suppress(OSError):
            Path(note).touch()
    raise SystemExit(WRONG_USAGE)


@contextmanager
def explain_rerun() -> Iterator[None]:
    """End a script in one line where the processes that it starts inside come to nothing for want of a guard.

    Raises:
        SystemExit: in place of the error of whatever started them.
    """
    with tempfile.TemporaryDirectory(prefix="texneg-") as folder:
        note = Path(folder) / "rerun"
        os.environ[NOTE] = str(note)
        try:
            yield
        except Exception:
            if not note.exists():
                raise
            print(ADVICE, file=sys.__stderr__)  # whatever the caller does with its output
            raise SystemExit(WRONG_USAGE) from None
        finally:
            os.environ.pop(NOTE, None)

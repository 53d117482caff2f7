"""The photographs of a tar as class folders, for the benchmarks of runs."""

import tarfile
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".JPEG", ".png")


def unpacked(tar: Path, folder: Path, *, classes: int, times: int = 1) -> int:
    """Write every photograph under so many names, spread over the classes; the number of files."""
    count = 0
    with tarfile.open(tar) as file:
        for member in file:
            stream = file.extractfile(member) if member.name.endswith(SUFFIXES) else None
            if stream is None:
                continue
            data = stream.read()
            for i in range(times):
                path = folder / f"class{count % classes}" / f"{i}_{Path(member.name).name}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                count += 1
    return count

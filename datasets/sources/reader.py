"""Reading images in the order of a plan: a compressed tar as one stream, a store several requests ahead."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import BinaryIO

from texneg.datasets.decode import MAX_FILE_BYTES
from texneg.datasets.sources.compressed import DAMAGED, is_compressed, open_stream
from texneg.datasets.sources.items import Item
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import THREADS, Place, map_in_order, parse_place, read_range
from texneg.datasets.storage.url import Url

SPAN_BYTES = 8 * 2**20  # of neighbours in a tar that come in one request

Read = Callable[[Item], bytes]
_Answer = bytes | Exception


def read_item(root: str | Place, item: Item) -> bytes:
    """Read a file, one byte more than `item.size` if it has grown, or a member of a plain tar."""
    return read_range(parse_place(root) / unescape(item.path), item.offset, item.size + (not item.member))


@contextmanager
def open_reader(root: str | Place, items: Sequence[Item]) -> Iterator[Read]:
    """Open images for reading: yields a function that takes them one by one, in their order.

    Args:
        root: what the images' paths are relative to.
        items: of a folder, or of one tar.
    """
    root = parse_place(root)
    if items and items[0].member and is_compressed(unescape(items[0].path)):
        with open_stream(root / unescape(items[0].path)) as stream:
            yield partial(_read_stream, stream)
    elif isinstance(root, Url):
        wanted = [item for item in items if not item.status and item.size <= MAX_FILE_BYTES]
        with closing(_fetch_ahead(root, wanted)) as fetched:
            yield _read_ahead(root, set(wanted), fetched)
    else:
        yield partial(read_item, root)


def _read_stream(stream: BinaryIO, item: Item) -> bytes:
    """Read a member; fewer bytes where the stream breaks off."""
    try:
        stream.seek(item.offset)
        return stream.read(item.size)
    except DAMAGED as error:
        if getattr(error, "errno", None) is not None:
            raise
        return b""


def _read_ahead(root: Url, wanted: set[Item], fetched: Iterator[dict[Item, _Answer]]) -> Read:
    """Return a function that takes answers fetched ahead, and repeats the requests that failed."""
    here: dict[Item, _Answer] = {}

    def read(item: Item) -> bytes:
        if item not in wanted:
            return read_item(root, item)
        wanted.remove(item)
        while item not in here:
            here.update(next(fetched))
        answer = here.pop(item)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return read


def _fetch_ahead(root: Url, items: list[Item]) -> Generator[dict[Item, _Answer], None, None]:
    """Fetch the store's answers in order, a few megabytes or files ahead of the caller."""
    if items and items[0].member:
        return map_in_order(partial(_fetch, root), _join_runs(items), threads=2, ahead=2)
    return map_in_order(partial(_fetch, root), [[item] for item in items], ahead=THREADS)


def _join_runs(items: list[Item]) -> Iterator[list[Item]]:
    """Group members of a tar that lie together within `SPAN_BYTES`."""
    run: list[Item] = []
    for item in items:
        if run and item.offset + item.size - run[0].offset > SPAN_BYTES:
            yield run
            run = []
        run.append(item)
    if run:
        yield run


def _fetch(root: Url, run: list[Item]) -> dict[Item, _Answer]:
    """Fetch a run in one request: the bytes of each item, or the exception."""
    first, last = run[0], run[-1]
    try:
        if not first.member:
            return {first: read_item(root, first)}
        data = read_range(root / unescape(first.path), first.offset, last.offset + last.size - first.offset)
    except Exception as error:
        return dict.fromkeys(run, error)
    places = [(item, item.offset - first.offset) for item in run]
    return {item: data[start : start + item.size] for item, start in places}

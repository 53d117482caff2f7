"""The key queue is a ring of unit vectors that saves, moves and starts the same."""

import pytest
import torch
import torch.nn.functional as F

from texneg import KeyQueue
from texneg.queue import UNTAGGED


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_it_starts_with_unit_vectors_that_depend_on_the_seed_alone():
    queue = KeyQueue(16, 100, seed=3)
    assert torch.allclose(queue.keys.norm(dim=1), torch.ones(100))
    assert torch.equal(queue.keys, KeyQueue(16, 100, seed=3).keys)
    assert not torch.equal(queue.keys, KeyQueue(16, 100, seed=4).keys)
    assert queue.keys.mean(0).norm() < 0.3  # no preferred direction


@pytest.mark.parametrize(("size", "batch"), [(12, 4), (10, 4), (7, 7), (5, 1), (9, 8)])
def test_it_always_holds_the_latest_keys_in_ring_order(size, batch):
    queue = KeyQueue(6, size)
    stream = unit(5 * size, 6)
    for start in range(0, len(stream) - batch + 1, batch):
        queue.enqueue(stream[start : start + batch])
        seen = start + batch
        expected = {i % size: stream[i] for i in range(max(0, seen - size), seen)}
        for row, key in expected.items():
            assert torch.allclose(queue.keys[row], key)
        assert int(queue.position) == seen % size


def test_the_split_into_batches_does_not_matter():
    stream = unit(23, 6)
    one, two = KeyQueue(6, 10), KeyQueue(6, 10)
    for key in stream:
        one.enqueue(key[None])
    for part in stream.split(7):
        two.enqueue(part)
    assert torch.equal(one.keys, two.keys)
    assert int(one.position) == int(two.position)


def test_keys_are_normalised_detached_and_written_in_place():
    queue = KeyQueue(6, 8)
    pointer = queue.keys.data_ptr()
    keys = (3 * unit(4, 6)).requires_grad_()
    queue.enqueue(keys)
    assert queue.keys.data_ptr() == pointer
    assert not queue.keys.requires_grad
    assert torch.allclose(queue.keys[:4], unit(4, 6))
    queue.enqueue(unit(2, 6).to(torch.bfloat16))
    assert queue.keys.dtype == torch.float32


def test_it_goes_on_from_a_state_dict():
    queue, stream = KeyQueue(6, 10), unit(30, 6)
    queue.enqueue(stream[:7])
    restored = KeyQueue(6, 10, seed=9)
    restored.load_state_dict(queue.state_dict())
    for ring in (queue, restored):
        ring.enqueue(stream[7:14])
    assert torch.equal(queue.keys, restored.keys)
    assert list(queue.state_dict()) == ["keys", "position"]
    assert not list(queue.parameters())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (torch.zeros(3, 5), "D = 6"),
        (torch.zeros(6), "D = 6"),
        (torch.zeros(9, 6), "9 keys do not fit a queue of 8"),
    ],
)
def test_wrong_keys_say_what_is_allowed(keys, message):
    with pytest.raises(ValueError, match=message):
        KeyQueue(6, 8).enqueue(keys)


@pytest.mark.parametrize(("dim", "size"), [(0, 4), (4, 0)])
def test_an_empty_queue_is_refused(dim, size):
    with pytest.raises(ValueError, match="must be >= 1"):
        KeyQueue(dim, size)


def test_tags_go_with_their_keys():
    queue = KeyQueue(6, 5, tagged=True)
    assert (queue.tags == UNTAGGED).all()
    stream, tags = unit(7, 6), torch.arange(7)
    for start in (0, 3):
        queue.enqueue(stream[start : start + 4], tags[start : start + 4])
    expected = dict(zip(range(8), [0, 1, 2, 3, 3, 4, 5, 6], strict=True))
    for number, tag in expected.items():
        if number >= 3:
            assert int(queue.tags[number % 5]) == tag
            assert torch.allclose(queue.keys[number % 5], stream[tag])
    for wrong in (None, torch.arange(3)):
        with pytest.raises(ValueError, match="give one for each of the 4 keys if tagged=True"):
            queue.enqueue(stream[:4], wrong)
    with pytest.raises(ValueError, match="if tagged=True"):
        KeyQueue(6, 5).enqueue(stream[:4], torch.arange(4))

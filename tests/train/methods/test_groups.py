"""Negatives of the query's own class or group are left out, in every method that has ordinary negatives."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train.assemble import find_groups
from texneg.train.config import PretrainConfig
from texneg.train.data.groups import NO_GROUP, read_groups
from texneg.train.flags import change
from texneg.train.methods import memory_bank, moco, simclr, simo, triplet

IMAGES, N, QUEUE = 24, 8, 24
GROUPS = torch.arange(IMAGES) % 3
GROUPS[5] = NO_GROUP


def others_in_batch(batch):
    """The groups (N, N - 1) of the other images of a batch, for each query."""
    return torch.stack([GROUPS[torch.cat([batch.indices[:i], batch.indices[i + 1 :]])] for i in range(N)])


def others_in_bank(batch):
    return torch.stack([torch.cat([GROUPS[:i], GROUPS[i + 1 :]]) for i in batch.indices.tolist()])


CASES = {
    "simo": (simo.Config(), others_in_batch),
    "simclr": (simclr.Config(), lambda batch: others_in_batch(batch).repeat(2, 2)),
    "triplet": (triplet.Config(), others_in_batch),
    "memory bank": (memory_bank.Config(keys=IMAGES - 1), others_in_bank),
}


def assert_left_out(grouped, plain, own, others):
    same = (own[:, None] == others) & (own[:, None] >= 0)
    assert same.any()
    assert torch.equal(grouped.negatives.isneginf(), same)
    assert torch.equal(grouped.negatives[~same], plain.negatives[~same])
    assert torch.equal(grouped.positive, plain.positive)


@pytest.mark.parametrize("case", CASES)
def test_negatives_of_the_own_group_are_left_out(case, build, make_batch):
    config, find_others = CASES[case]
    grouped, plain = build(config)
    grouped.use_groups(GROUPS)
    batch = make_batch(count=1)
    for one, two in zip(grouped(batch), plain(batch), strict=True):
        own = GROUPS[batch.indices].repeat(len(one.positive) // N)
        assert_left_out(one, two, own, find_others(batch))


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_queue_knows_the_groups_of_its_keys(symmetric, build, make_batch):
    grouped, plain = build(moco.Config(queue=QUEUE, symmetric=symmetric))
    grouped.use_groups(GROUPS)
    first, second = make_batch(1, count=1), make_batch(2, count=1)
    for method in (grouped, plain):
        method(first)
        method.after_step()
    views = 2 if symmetric else 1
    rest = torch.full((QUEUE - views * N,), NO_GROUP)  # random vectors that the queue began with
    others = torch.cat([*[GROUPS[first.indices]] * views, rest])
    kept = copy.deepcopy(grouped.state_dict())
    for one, two in zip(grouped(second), plain(second), strict=True):
        assert_left_out(one, two, GROUPS[second.indices], others)
    again, _ = build(moco.Config(queue=QUEUE, symmetric=symmetric))
    again.use_groups(GROUPS)
    again.load_state_dict(kept)
    assert torch.equal(again.queue.tags, others)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for i in range(6):
        folder = root / f"class{i % 2}"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
    return str(root)


def test_groups_are_read_by_name(data, tmp_path):
    images = open_images(data)
    names = [images.name(0), images.keys[1], images.keys[2]]
    path = tmp_path / "clusters.csv"
    path.write_text("group,name\n" + "".join(f"{g},{name}\n" for g, name in zip("bab", names, strict=True)))
    groups = read_groups(str(path), images)
    assert groups[0] == groups[2] != groups[1]
    assert (groups[3:] == NO_GROUP).all()
    assert groups.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("name,cluster\nx,1\n", "every row needs a name and a group"),
        ("name,group\n", "every row needs a name and a group"),
        ("name,group\nx,1\nx,2\n", "1 name given more than once"),
        ("name,group\nx,1\n", "names none of the 6 images .class0/0, .* but x"),
    ],
)
def test_a_file_without_groups_is_refused(data, tmp_path, text, message):
    path = tmp_path / "clusters.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_groups(str(path), open_images(data))


def test_groups_and_their_file_belong_together():
    base = change(PretrainConfig(), data="x", bn="none")
    change(base, exclude="class").check()
    change(base, exclude="group", groups="clusters.csv").check()
    for wrong in ({"exclude": "group"}, {"groups": "clusters.csv"}, {"exclude": "class", "groups": "c.csv"}):
        with pytest.raises(InputError, match="--exclude group and --groups FILE belong together"):
            change(base, **wrong).check()
    with pytest.raises(
        InputError, match="--exclude class: --method byol with --loss byol has no ordinary negatives"
    ):
        change(base, method="byol", exclude="class").check()


def test_a_table_of_a_spreadsheet_is_read_and_one_group_for_all_is_refused(tmp_path):
    for i in range(3):
        path = tmp_path / "images" / "only" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    images, table = open_images(tmp_path / "images"), tmp_path / "groups.csv"
    table.write_bytes(b"\xef\xbb\xbfname,group\r\nonly/0,1\r\nonly/1,2\r\n")
    assert read_groups(str(table), images).tolist() == [0, 1, NO_GROUP]
    table.write_text("name,group\nonly/0,1\nonly/1,1\nonly/2,1\n")
    config = change(PretrainConfig(), exclude="group", groups=str(table))
    with pytest.raises(InputError, match="--exclude group: all 3 images are of one group, and no negatives"):
        find_groups(config, images)
    table.write_text("name,group\nonly/0,1\nonly/0,2\n")
    with pytest.raises(InputError, match="1 name given more than once"):
        read_groups(str(table), images)
    with pytest.raises(InputError, match=r"absent\.csv: No such file or directory; it takes"):
        read_groups(str(tmp_path / "absent.csv"), images)

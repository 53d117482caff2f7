"""The fingerprint of an encoder: of its weights and statistics, not of how many batches made them."""

import copy

import torch

from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.batch_norm import split_batch_norm, synchronise_batch_norm
from texneg.train.networks.encoder import Encoder

NETWORK = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8)


def fingerprint(network):
    return Encoder(network, info={}).fingerprint


def test_the_fingerprint_depends_on_weights_and_statistics_alone():
    with initial_weights(0):
        network = Network(NETWORK, 16, "byol").train()
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    network(x)
    found = fingerprint(network)
    split, synchronised = copy.deepcopy(network), copy.deepcopy(network)
    split_batch_norm(split, 4)
    synchronise_batch_norm(synchronised)
    counted, moved, trained = (copy.deepcopy(network) for _ in range(3))
    counted.backbone.bn1.num_batches_tracked.add_(5)
    moved.backbone.bn1.running_mean.add_(1e-3)
    with torch.no_grad():
        trained.head[0].weight.add_(1e-3)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    assert {fingerprint(same) for same in (split, synchronised, counted, last)} == {found}
    assert found not in {fingerprint(moved), fingerprint(trained)}


def test_counters_of_a_policy_leave_the_fingerprint_alone():
    """Groups of the whole batch have its statistics; torch counts batches and the split norm does not."""
    with initial_weights(0):
        network = Network(NETWORK, 16).double().train()
    split = copy.deepcopy(network)
    split_batch_norm(split, 8)
    x = torch.zeros(8, 3, 16, 16, dtype=torch.float64)  # of which every executor has the same sums
    for one in (network, split):
        one(x)
    assert network.backbone.bn1.num_batches_tracked != split.backbone.bn1.num_batches_tracked
    assert fingerprint(network) == fingerprint(split)

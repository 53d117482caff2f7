"""Weights of negatives against float64 loops over the published formulas, limits and gradients."""

import math

import pytest
import torch

from texneg import Similarities, info_nce, modify_features, reweight


def draw(N=4, K=9, M=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (N,), (N, K), (N, M)
    return Similarities(*(2 * torch.rand(*x, generator=generator, dtype=torch.float64) - 1 for x in shapes))


def hcl(s, temperature, beta, tau):
    """Hard negatives as published: exponentials, their powers, a mean; no non-semantic term."""
    total = 0.0
    for p, row in zip(s.positive.tolist(), s.negatives.tolist(), strict=True):
        pos, neg = math.exp(p / temperature), [math.exp(n / temperature) for n in row]
        K = len(neg)
        importance = [x**beta for x in neg]
        weighed = sum(i * x for i, x in zip(importance, neg, strict=True)) / (sum(importance) / K)
        ng = max((weighed - tau * K * pos) / (1 - tau), K * math.exp(-1 / temperature))
        total -= math.log(pos / (pos + ng))
    return total / len(s.positive)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize(("beta", "tau"), [(0.0, 0.1), (1.0, 0.0), (0.5, 0.1), (2.0, 0.01), (1.0, 0.9)])
def test_the_loss_is_the_published_one(temperature, beta, tau):
    s = draw(M=0)
    weights = reweight(s, temperature=temperature, hardness=beta, class_prior=tau)
    made = info_nce(s, temperature=temperature, log_weights=weights).item()
    assert made == pytest.approx(hcl(s, temperature, beta, tau), rel=1e-12)


@pytest.mark.parametrize(("beta", "tau"), [(1.0, 0.0), (0.5, 0.1), (0.0, 0.05)])
def test_the_gradient_is_that_of_the_published_loss(beta, tau):
    s = draw(N=2, K=5, M=0, seed=3)
    p, n = (x.clone().requires_grad_() for x in s[:2])
    given = Similarities(p, n, s.nonsemantic)
    weights = reweight(given, temperature=0.3, hardness=beta, class_prior=tau)
    made = torch.autograd.grad(info_nce(given, temperature=0.3, log_weights=weights), [p, n])
    h = 1e-6
    for values, gradient in zip((s.positive, s.negatives), made, strict=True):
        for i in range(values.numel()):
            ends = []
            for step in (h, -h):
                values.view(-1)[i] += step
                ends.append(hcl(s, 0.3, beta, tau))
                values.view(-1)[i] -= step
            assert gradient.view(-1)[i].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-7)


def test_weights_have_mean_one_and_favour_the_hard():
    s = draw()
    weights = reweight(s, hardness=1.0).exp()
    torch.testing.assert_close(weights.mean(1), torch.ones(4, dtype=torch.float64))
    assert torch.equal(weights.argsort(1), s.negatives.argsort(1))
    assert not reweight(s).any()


def test_negatives_that_are_left_out_count_nowhere():
    s = draw()
    fewer = s._replace(negatives=s.negatives[:, :6])
    s.negatives[:, 6:] = -math.inf
    options = {"hardness": 0.7, "class_prior": 0.1}
    whole, part = (info_nce(x, log_weights=reweight(x, **options)) for x in (s, fewer))
    torch.testing.assert_close(whole, part)
    assert reweight(draw()._replace(negatives=torch.full((4, 3), -math.inf)), **options).isfinite().all()


def test_float32_at_a_low_temperature_stays_finite():
    s = Similarities(*(x.float() for x in draw(K=300)))
    s.negatives.requires_grad_()
    loss = info_nce(
        s, temperature=0.01, log_weights=reweight(s, temperature=0.01, hardness=2, class_prior=0.5)
    )
    (gradient,) = torch.autograd.grad(loss, s.negatives)
    assert loss.isfinite() and gradient.isfinite().all()


def test_decoupled_leaves_the_positive_out():
    s = draw()
    expected = 0.0
    for p, n, t in zip(*(x.tolist() for x in s), strict=True):
        rest = sum(math.exp(x / 0.2) for x in n) + sum(math.exp(2 * x / 0.2) for x in t)
        expected += (math.log(rest) - p / 0.2) / 4
    assert info_nce(s, decoupled=True).item() == pytest.approx(expected, rel=1e-12)


def test_modified_features():
    s = draw()
    made = modify_features(s, 0.1)
    torch.testing.assert_close(s.positive - made.positive, torch.full((4,), 0.1, dtype=torch.float64))
    torch.testing.assert_close(made.negatives - s.negatives, torch.full((4, 9), 0.1, dtype=torch.float64))
    assert torch.equal(made.nonsemantic, s.nonsemantic)
    assert info_nce(made) > info_nce(s)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: reweight(s._replace(negatives=s.negatives[:, :0])), "K = 0"),
        (lambda s: reweight(s, temperature=0), "temperature is 0"),
        (lambda s: reweight(s, hardness=-1), "hardness -1"),
        (lambda s: reweight(s, class_prior=1), "class_prior 1"),
        (lambda s: reweight(s, hardness=math.nan), "hardness nan"),
        (lambda s: info_nce(s, log_weights=torch.zeros(4, 8)), r"log_weights has shape \(4, 8\)"),
        (lambda s: modify_features(s, -0.1), "epsilon is -0.1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(draw())

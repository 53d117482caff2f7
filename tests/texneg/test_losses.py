"""Losses against float64 loops, closed forms, limits and gradients."""

import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from texneg import (
    KeyQueue,
    Similarities,
    byol,
    in_batch_similarities,
    info_nce,
    select,
    similarities,
    simple_contrastive,
    truncated_triplet,
    two_view_similarities,
)

SHAPES = list(product([1, 5], [1, 12], [0, 1, 3]))  # N, K, M


def random_similarities(N, K, M, seed=0):
    draw = torch.Generator().manual_seed(seed)
    p, n, t = (
        2 * torch.rand(*shape, generator=draw, dtype=torch.float64) - 1 for shape in [(N,), (N, K), (N, M)]
    )
    return Similarities(p, n, t)


def loop_info_nce(s, temperature, alpha, weight):
    total = 0.0
    for p, n, t in zip(*(x.tolist() for x in s), strict=True):
        positive = math.exp(p / temperature)
        ordinary = weight * sum(math.exp(x / temperature) for x in n)
        nonsemantic = sum(math.exp(alpha * x / temperature) for x in t)
        total -= math.log(positive / (positive + ordinary + nonsemantic))
    return total / len(s.positive)


@pytest.mark.parametrize(("N", "K", "M"), SHAPES)
@pytest.mark.parametrize(("temperature", "alpha"), [(0.07, 1.0), (0.2, 2.0), (1.0, 3.0), (0.5, 0.0)])
def test_info_nce_equals_the_loop(N, K, M, temperature, alpha):
    s = random_similarities(N, K, M)
    loss = info_nce(s, temperature=temperature, alpha=alpha)
    assert loss.item() == pytest.approx(loop_info_nce(s, temperature, alpha, 1.0), rel=1e-12)
    loss = info_nce(s, temperature=temperature, alpha=alpha, eqco=100)
    assert loss.item() == pytest.approx(loop_info_nce(s, temperature, alpha, 100 / K), rel=1e-12)


@pytest.mark.parametrize(("N", "K", "M"), SHAPES)
@pytest.mark.parametrize("weight", [None, 0.3])
def test_simple_contrastive_equals_the_loop(N, K, M, weight):
    s = random_similarities(N, K, M)
    expected = 0.0
    for p, n, t in zip(*(x.tolist() for x in s), strict=True):
        expected += -p + (1 / K if weight is None else weight) * sum(n)
        expected += 0.7 * (sum(t) / M) if M else 0.0
    loss = simple_contrastive(s, weight=weight, alpha=0.7)
    assert loss.item() == pytest.approx(expected / N, rel=1e-12)


@pytest.mark.parametrize("M", [0, 2])
@pytest.mark.parametrize(("ranks", "margin"), [((1, 1), 0.5), ((2, 10), 100.0), ((3, 12), -0.2)])
def test_truncated_triplet_equals_the_loop(M, ranks, margin):
    s = random_similarities(6, 12, M)
    expected = 0.0
    for p, n, t in zip(*(x.tolist() for x in s), strict=True):
        distances = sorted(-2 * x for x in n)[ranks[0] - 1 : ranks[1]]
        push = 2 * 0.5 * sum(t) / M if M else 0.0
        expected += max(0.0, 2 * -2 * p - sum(distances) / len(distances) + push + margin)
    loss = truncated_triplet(s, ranks=ranks, margin=margin, alpha=0.5)
    assert loss.item() == pytest.approx(expected / 6, rel=1e-12)


def test_truncated_triplet_with_the_papers_margin_is_linear():
    s = random_similarities(8, 40, 0)
    ranked = s.negatives.sort(dim=1, descending=True).values[:, 1:10]
    expected = 100 - 4 * s.positive.mean() + 2 * ranked.mean()
    assert truncated_triplet(s).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("M", [0, 1, 4])
def test_byol_is_the_difference_of_squared_distances(M):
    draw = torch.Generator().manual_seed(0)
    q, p = (F.normalize(torch.randn(6, 8, generator=draw, dtype=torch.float64), dim=1) for _ in range(2))
    t = F.normalize(torch.randn(6, M, 8, generator=draw, dtype=torch.float64), dim=2)
    expected = (q - p).square().sum(1).mean()
    if M:
        expected = expected - 0.3 * ((q[:, None] - t).square().sum(2).mean() - 2)
    assert byol(similarities(q, p, None, t), alpha=0.3).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(("K", "M"), [(1, 0), (7, 0), (7, 1), (65536, 2), (0, 3)])
@pytest.mark.parametrize(("temperature", "alpha"), [(0.2, 2.0), (0.07, 1.0), (1.0, 0.0)])
def test_equal_embeddings_give_the_closed_form(K, M, temperature, alpha):
    same = torch.full((2, 4), 3.0, dtype=torch.float64)
    s = similarities(same, same, same[:1].expand(K, 4), same[:, None].expand(2, M, 4))
    expected = math.log(1 + K + M * math.exp((alpha - 1) / temperature))
    assert info_nce(s, temperature=temperature, alpha=alpha).item() == pytest.approx(expected, rel=1e-9)


def test_without_nonsemantic_negatives_it_is_moco():
    s = random_similarities(5, 12, 0)
    logits = torch.cat([s.positive[:, None], s.negatives], dim=1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(5, dtype=torch.long))
    assert info_nce(s, alpha=3.0).item() == pytest.approx(expected.item(), rel=1e-14)


@pytest.mark.parametrize("M", [1, 3])
def test_alpha_zero_adds_the_constant_m_and_is_not_moco(M):
    s = random_similarities(5, 12, M)
    numerator = (s.positive / 0.2).exp()
    denominator = numerator + (s.negatives / 0.2).exp().sum(1) + M
    expected = -(numerator / denominator).log().mean()
    loss = info_nce(s, alpha=0.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert loss.item() > info_nce(s._replace(nonsemantic=s.nonsemantic[:, :0])).item()


def test_eqco_of_k_is_plain_and_its_negative_sum_does_not_depend_on_k():
    s = random_similarities(5, 12, 1)
    assert info_nce(s, eqco=12).item() == pytest.approx(info_nce(s).item(), rel=1e-14)
    doubled = s._replace(negatives=s.negatives.repeat(1, 2))
    assert info_nce(doubled, eqco=500).item() == pytest.approx(info_nce(s, eqco=500).item(), rel=1e-12)
    assert abs(info_nce(doubled) - info_nce(s)) > 0.1


def test_high_temperature_gradients_are_those_of_the_simple_loss():
    """Wang and Liu, eq. 7: T L -> -(K / (K + 1)) p + 1 / (K + 1) sum n, with the default weight 1 / K."""
    s = random_similarities(4, 9, 0)
    hot, simple = [Similarities(*(x.clone().requires_grad_() for x in s)) for _ in range(2)]
    (1e5 * info_nce(hot, temperature=1e5) * 10 / 9).backward()
    simple_contrastive(simple).backward()
    assert torch.allclose(hot.positive.grad, simple.positive.grad, rtol=1e-4)
    assert torch.allclose(hot.negatives.grad, simple.negatives.grad, rtol=1e-4)


LOSSES = {
    "info_nce": lambda s: info_nce(s, temperature=0.3, alpha=2.0),
    "eqco": lambda s: info_nce(s, temperature=0.3, eqco=50),
    "simple": lambda s: simple_contrastive(s, alpha=0.5),
    "triplet": lambda s: truncated_triplet(s, ranks=(2, 5), alpha=0.5),
    "byol": lambda s: byol(s, alpha=0.5),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_are_right_from_embeddings_to_loss(loss):
    draw = torch.Generator().manual_seed(1)
    q, p, n = (torch.randn(k, 5, generator=draw, dtype=torch.float64).requires_grad_() for k in (3, 3, 8))
    t = torch.randn(3, 2, 5, generator=draw, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: loss(similarities(*x)), (q, p, n, t))


def test_each_nonsemantic_negative_pushes_the_query_by_its_share():
    """Ge et al.: dL/dq gains (alpha / T) p_m t_m, here before the normalisation of q."""
    draw = torch.Generator().manual_seed(2)
    q, p = (F.normalize(torch.randn(1, 6, generator=draw, dtype=torch.float64), dim=1) for _ in range(2))
    n = F.normalize(torch.randn(9, 6, generator=draw, dtype=torch.float64), dim=1)
    t = F.normalize(torch.randn(1, 2, 6, generator=draw, dtype=torch.float64), dim=2)
    q.requires_grad_()
    s = Similarities((q * p).sum(1), q @ n.T, (q[:, None] * t).sum(2))
    info_nce(s, temperature=0.2, alpha=2.0).backward()
    logits = torch.cat([s.positive[:, None], s.negatives, 2.0 * s.nonsemantic], dim=1).detach() / 0.2
    share = logits.softmax(dim=1)[0]
    expected = (share[0] - 1) / 0.2 * p[0] + share[1:10] @ n / 0.2 + share[10:] @ t[0] * (2.0 / 0.2)
    assert torch.allclose(q.grad[0], expected, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_order_of_batch_and_of_negatives_does_not_matter(loss):
    s = random_similarities(6, 9, 3)
    draw = torch.Generator().manual_seed(6)
    rows, columns, others = (torch.randperm(n, generator=draw) for n in (6, 9, 3))
    permuted = Similarities(s.positive[rows], s.negatives[rows][:, columns], s.nonsemantic[rows][:, others])
    assert loss(permuted).item() == pytest.approx(loss(s).item(), rel=1e-12)
    terms = [loss(Similarities(*(x[i : i + 1] for x in s))).item() for i in range(6)]
    assert loss(s).item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_a_query_is_compared_with_its_own_nonsemantic_negatives_alone():
    draw = torch.Generator().manual_seed(3)
    q, p, n, t = (torch.randn(*shape, generator=draw) for shape in [(4, 5), (4, 5), (7, 5), (4, 2, 5)])
    s = similarities(q, p, n, t)
    for i in range(4):
        for m in range(2):
            assert s.nonsemantic[i, m].item() == pytest.approx(
                F.cosine_similarity(q[i], t[i, m], dim=0).item()
            )
        for j in range(7):
            assert s.negatives[i, j].item() == pytest.approx(
                F.cosine_similarity(q[i], n[j], dim=0).item(), abs=1e-6
            )
        assert s.positive[i].item() == pytest.approx(F.cosine_similarity(q[i], p[i], dim=0).item(), abs=1e-6)


def test_similarities_ignore_the_scale_and_take_two_dimensional_nonsemantic():
    draw = torch.Generator().manual_seed(4)
    q, p, t = (torch.randn(4, 5, generator=draw, dtype=torch.float64) for _ in range(3))
    s = similarities(q, p, p, t)
    scaled = similarities(q * 3, p * 0.1, p * 7, (t * 2)[:, None])
    assert all(torch.allclose(x, y) for x, y in zip(s, scaled, strict=True))
    assert s.nonsemantic.shape == (4, 1)
    bare = similarities(q, p)
    assert (bare.negatives.shape, bare.nonsemantic.shape) == ((4, 0), (4, 0))


@pytest.mark.parametrize("N", [1, 2, 5])
def test_in_batch_negatives_are_all_others_and_never_the_own_key(N):
    draw = torch.Generator().manual_seed(5)
    q, p = (torch.randn(N, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    s = in_batch_similarities(q, p)
    cosines = F.normalize(q, dim=1) @ F.normalize(p, dim=1).T
    assert s.negatives.shape == (N, N - 1)
    for i in range(N):
        assert s.negatives[i].tolist() == cosines[i][torch.arange(N) != i].tolist()


@pytest.mark.parametrize("N", [1, 2, 5])
def test_two_view_negatives_are_both_views_of_all_others(N):
    draw = torch.Generator().manual_seed(5)
    z = [torch.randn(N, 6, generator=draw, dtype=torch.float64) for _ in range(2)]
    t = torch.randn(N, 3, 6, generator=draw, dtype=torch.float64)
    unit = [F.normalize(x, dim=1) for x in z]
    s = two_view_similarities(*z, t)
    assert s.negatives.shape == (2 * N, 2 * N - 2)
    for row in range(2 * N):
        side, i = divmod(row, N)
        query, there = unit[side][i], unit[1 - side]
        torch.testing.assert_close(s.positive[row], query @ there[i])
        torch.testing.assert_close(s.nonsemantic[row], F.normalize(t[i], dim=1) @ query)
        others = [x[j] for x in (there, unit[side]) for j in range(N) if j != i]
        expected = torch.stack(others) @ query if others else s.negatives[row]
        torch.testing.assert_close(s.negatives[row], expected)


@pytest.mark.parametrize("start", [0, 2, 4])
def test_rows_of_a_gathered_batch_are_those_of_the_whole(start):
    draw = torch.Generator().manual_seed(5)
    q, p = (torch.randn(6, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    mine = slice(start, start + 2)
    whole, part = (
        in_batch_similarities(q, p),
        in_batch_similarities(q[mine], p[mine], gathered=p, start=start),
    )
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[mine], b)
    part = two_view_similarities(q[mine], p[mine], gathered=(q, p), start=start)
    rows = [*range(start, start + 2), *range(6 + start, 8 + start)]
    for a, b in zip(two_view_similarities(q, p), part, strict=True):
        torch.testing.assert_close(a[rows], b)
    with pytest.raises(ValueError, match="start is 5; the 2 queries must have rows of their own among the 6"):
        in_batch_similarities(q[mine], p[mine], gathered=p, start=5)


def test_similarities_and_losses_run_in_bfloat16_autocast():
    draw = torch.Generator().manual_seed(7)
    q, p, n = (torch.randn(rows, 8, generator=draw) for rows in (4, 4, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(similarities(q, p, n, p))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce(similarities(q, p, n, p)).item(), rel=0.02)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_step_never_waits_for_the_device(loss):
    """The meta device holds no values, so anything that looked at one would fail here."""
    q, p, t = (torch.empty(4, 8, device="meta", requires_grad=True) for _ in range(3))
    queue = KeyQueue(8, 20).to("meta")
    s = select(similarities(q, p, queue.keys, t), difficulty=(0.0, 0.5))
    loss(s).backward()
    queue.enqueue(p)
    assert q.grad.shape == (4, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: info_nce(s, temperature=0.0), "temperature is 0.0"),
        (lambda s: info_nce(s, alpha=-1.0), "alpha is -1.0"),
        (lambda s: info_nce(s, eqco=0), "eqco is 0"),
        (lambda s: info_nce(s._replace(negatives=s.negatives[:, :0]), eqco=5), "K = 0"),
        (
            lambda s: info_nce(s._replace(negatives=s.negatives[:, :0], nonsemantic=s.nonsemantic[:, :0])),
            "K = 0",
        ),
        (lambda s: simple_contrastive(s._replace(negatives=s.negatives[:, :0])), "K = 0"),
        (lambda s: simple_contrastive(s, alpha=-0.5), "alpha is -0.5"),
        (lambda s: truncated_triplet(s, ranks=(2, 10)), "needs at least 10"),
        (lambda s: truncated_triplet(s, ranks=(0, 3)), r"\(0, 3\)"),
        (lambda s: truncated_triplet(s, ranks=(3, 2)), r"\(3, 2\)"),
        (lambda s: truncated_triplet(s, ranks=(1, 2), alpha=-1), "alpha is -1"),
        (lambda s: byol(s, alpha=-1.0), "alpha is -1.0"),
        (lambda s: info_nce(s, temperature=math.nan), "temperature is nan"),
        (lambda s: info_nce(s, temperature=math.inf), "temperature is inf"),
        (lambda s: info_nce(s, alpha=math.nan), "alpha is nan"),
        (lambda s: info_nce(s, eqco=math.nan), "eqco is nan"),
        (lambda s: simple_contrastive(s, weight=math.nan), "weight is nan"),
        (lambda s: simple_contrastive(s, alpha=math.inf), "alpha is inf"),
        (lambda s: truncated_triplet(s, ranks=(1, 2), margin=math.nan), "margin is nan"),
        (lambda s: truncated_triplet(s, ranks=(1, 2), pull=math.inf), "pull inf"),
        (lambda s: byol(s, alpha=math.nan), "alpha is nan"),
    ],
)
def test_wrong_parameters_say_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call(random_similarities(3, 5, 1))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4,), (4, 5)), "query has shape"),
        (((0, 5), (0, 5)), "N >= 1"),
        (((4, 5), (3, 5)), "positive has shape"),
        (((4, 5), (4, 5), (7, 4)), "D = 5"),
        (((4, 5), (4, 5), (4, 7, 5)), "D = 5"),
        (((4, 5), (4, 5), (7, 5), (3, 2, 5)), r"\(4, M, 5\)"),
        (((4, 5), (4, 5), (7, 5), (4, 2, 6)), r"\(4, M, 5\)"),
        (((4, 5), (4, 5), (7, 5), (4,)), r"\(4, M, 5\)"),
    ],
)
def test_wrong_shapes_say_what_is_allowed(shapes, message):
    with pytest.raises(ValueError, match=message):
        similarities(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("float16", "float32"), "query float16, positive float32, on cpu; give one floating dtype"),
        (("float32", "float32", "float64"), "negatives float64"),
        (("bfloat16", "bfloat16", "bfloat16", "float32"), "nonsemantic float32"),
        (("int64", "int64"), "query int64"),
        (("float32", "uint8"), "positive uint8"),
    ],
)
def test_dtypes_that_do_not_go_together_are_named(kinds, message):
    given = [torch.ones(4, 5, dtype=getattr(torch, kind)) for kind in kinds]
    with pytest.raises(ValueError, match=message):
        similarities(*given)


def test_devices_that_do_not_go_together_are_named():
    with pytest.raises(ValueError, match="on cpu and meta"):
        similarities(torch.ones(4, 5), torch.ones(4, 5, device="meta"))


def test_what_is_no_tensor_is_a_type_error():
    with pytest.raises(TypeError, match="positive is a ndarray; it must be a torch tensor"):
        similarities(torch.ones(4, 5), np.ones((4, 5)))


def test_autocast_may_mix_dtypes():
    query, queue = torch.randn(4, 5).bfloat16(), torch.randn(7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert similarities(query, query, queue).negatives.shape == (4, 7)
    with pytest.raises(ValueError, match="negatives float32"):
        similarities(query, query, queue)

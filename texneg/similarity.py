"""Cosine similarities of a batch of queries, the one input of every selection and every loss.

Shapes: N batch, D embedding, K ordinary negatives, M non-semantic negatives per query.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Similarities(NamedTuple):
    """Cosines of each query with its positive, its ordinary negatives and its non-semantic negatives."""

    positive: Tensor
    """(N,)"""
    negatives: Tensor
    """(N, K)"""
    nonsemantic: Tensor
    """(N, M)"""


def similarities(
    query: Tensor, positive: Tensor, negatives: Tensor | None = None, nonsemantic: Tensor | None = None
) -> Similarities:
    """Cosines of N queries with what each is compared to; the L2 normalisation happens here.

    Gradients flow into every argument that asks for them: pass keys, queue and non-semantic embeddings
    made without gradient, as MoCo and BYOL do.

    Args:
        query: (N, D) embeddings, any scale and floating dtype; the others have the same dtype, except
            under autocast, and are on the same device.
        positive: (N, D), row i belongs to query i.
        negatives: (K, D), shared by all queries, such as `KeyQueue.keys`; None for K = 0.
        nonsemantic: (N, M, D) or, for M = 1, (N, D); those of row i are negatives of query i alone
            (Ge et al., NeurIPS 2021); None for M = 0.

    Raises:
        ValueError: a rank, size, dtype or device that does not fit the query; TypeError for anything that is
            no tensor.
    """
    _check_kinds(query=query, positive=positive, negatives=negatives, nonsemantic=nonsemantic)
    _check_shapes(query, positive, negatives, nonsemantic)
    q = F.normalize(query, dim=1)  # (N, D)
    p = (q * F.normalize(positive, dim=1)).sum(1)
    n = q.new_empty(len(q), 0) if negatives is None else q @ F.normalize(negatives, dim=1).T
    if nonsemantic is None:
        return Similarities(p, n, q.new_empty(len(q), 0))
    t = nonsemantic.unsqueeze(1) if nonsemantic.ndim == 2 else nonsemantic  # (N, M, D)
    return Similarities(p, n, (q.unsqueeze(1) * F.normalize(t, dim=2)).sum(2))


def in_batch_similarities(
    query: Tensor,
    positive: Tensor,
    nonsemantic: Tensor | None = None,
    *,
    gathered: Tensor | None = None,
    start: int = 0,
) -> Similarities:
    """Cosines where the positives of the other queries are the ordinary negatives: K = N - 1.

    The negatives of row i are the positives j = 0 ... N - 1 in order, j = i left out. Used by the truncated
    triplet loss (Wang et al., ICCV 2021) and by SiMo (Zhu et al., arXiv 2010.01929). Further arguments and
    errors as in `similarities`.

    Args:
        query: (N, D).
        positive: (N, D), row i belongs to query i.
        nonsemantic: (N, M, D), (N, D) or None.
        gathered: (B, D) positives of all processes, for K = B - 1; None for those of this one.
        start: row of `gathered` that belongs to query 0.
    """
    s = similarities(query, positive, positive if gathered is None else gathered, nonsemantic)
    return s._replace(negatives=_leave_own_out(s.negatives, start))


def two_view_similarities(
    first: Tensor,
    second: Tensor,
    nonsemantic: Tensor | None = None,
    *,
    gathered: tuple[Tensor, Tensor] | None = None,
    start: int = 0,
) -> Similarities:
    """Cosines of 2 N views where both views of the other images are the ordinary negatives: K = 2 N - 2.

    Row i has the first view of image i as query and its second view as positive; in row N + i they change
    parts. The negatives of a row are the positive's side of the images j != i in order, then the query's side
    of them. Used by SimCLR (Chen et al., ICML 2020). Gradients flow into every embedding.

    Args:
        first: (N, D) embeddings of the first views of N images.
        second: (N, D) of their second views.
        nonsemantic: (N, M, D) or (N, D) negatives of both views of each image, or None.
        gathered: (B, D) first and second views of all processes, for K = 2 B - 2; None for those of this one.
        start: row of `gathered` that belongs to image 0.

    Returns:
        Similarities of 2 N queries.

    Raises:
        ValueError, TypeError: as in `similarities`.
    """
    all_first, all_second = (first, second) if gathered is None else gathered

    def compare(query: Tensor, positive: Tensor, there: Tensor, here: Tensor) -> Similarities:
        s = similarities(query, positive, torch.cat([there, here]), nonsemantic)
        sides = s.negatives.split([len(there), len(here)], dim=1)
        return s._replace(negatives=torch.cat([_leave_own_out(side, start) for side in sides], dim=1))

    one, two = compare(first, second, all_second, all_first), compare(second, first, all_first, all_second)
    return Similarities(*map(torch.cat, zip(one, two, strict=True)))


def centred_nonsemantic(
    query: Tensor,
    nonsemantic: Tensor,
    *,
    gathered: Tensor | None = None,
    start: int = 0,
    temperature: float | None = None,
) -> Tensor:
    """Cosines of queries with their own non-semantic negatives, less what those of other images get.

        t'_im = q_i.t_im - mean over j != i of q_i.t_jm,

    or, with a temperature, less T log mean_j e^(q_i.t_jm / T). All negatives have something in common that
    images have not, such as seams: one direction of the embedding that holds it would lower every q.t at
    once, and the softmax of a loss would not notice on the side of images. Here it cancels. Gradients flow
    through both terms.

    Args:
        query: (N, D) embeddings, any scale.
        nonsemantic: (N, M, D) or (N, D); row i belongs to query i.
        gathered: (B, M, D) or (B, D) negatives of the images of all processes; None for those of this one.
        start: row of `gathered` that belongs to query 0.
        temperature: T > 0 of the soft maximum in place of the mean; None for the mean.

    Returns:
        (N, M), for `s._replace(nonsemantic=...)`; values of -2 ... 2.

    Raises:
        ValueError: fewer than two images, shapes that do not fit, or a temperature outside its range;
            TypeError for what is no tensor.
    """
    joint = _join_negatives(query, nonsemantic, gathered)
    if temperature is not None and not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be > 0 and finite, or None")
    cosines = _cosines_with_all(query, joint)
    others = torch.stack([_leave_own_out(each, start) for each in cosines], dim=1)  # (N, M, B - 1)
    rows = torch.arange(len(query), device=query.device)
    mine = cosines[:, rows, rows + start].T  # (N, M)
    if temperature is None:
        return mine - others.mean(2)
    mean = torch.logsumexp(others / temperature, dim=2) - math.log(others.shape[2])
    return mine - temperature * mean


def nonsemantic_confusion(
    query: Tensor, nonsemantic: Tensor, *, gathered: Tensor | None = None, temperature: float = 0.2
) -> Tensor:
    """Degree to which a query tells the images' non-semantic negatives apart: 0 where it confuses all.

        p_ijm = softmax over j of q_i.t_jm / T,    c_im = T (log B + sum_j p_ijm log p_ijm) >= 0

    which is T times log B less the entropy of the guess which of the B negatives is the image's own. Lowered
    in place of t, it takes from a query what its own negative has of its own image, and leaves what all
    negatives have in common: a constant added to all cosines of a query changes nothing. Gradients flow into
    both arguments.

    Args:
        query: (N, D) embeddings, any scale.
        nonsemantic: (N, M, D) or (N, D); row i belongs to query i.
        gathered: (B, M, D) or (B, D) negatives of the images of all processes; None for those of this one.
        temperature: T > 0.

    Returns:
        (N, M), for `s._replace(nonsemantic=...)`; values of 0 ... T log B.

    Raises:
        ValueError: fewer than two images, shapes that do not fit, or a temperature outside its range;
            TypeError for what is no tensor.
    """
    joint = _join_negatives(query, nonsemantic, gathered)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be > 0 and finite")
    guess = torch.log_softmax(_cosines_with_all(query, joint) / temperature, dim=2)  # (M, N, B)
    return temperature * (math.log(len(joint)) + (guess.exp() * guess).sum(2)).T


def _cosines_with_all(query: Tensor, joint: Tensor) -> Tensor:
    """Cosines (M, N, B) of N queries with the negatives (B, M, D) of all images."""
    return torch.einsum("nd,bmd->mnb", F.normalize(query, dim=1), F.normalize(joint, dim=2))


def _join_negatives(query: Tensor, nonsemantic: Tensor, gathered: Tensor | None) -> Tensor:
    """Check queries and negatives, and return those of all images (B, M, D)."""
    _check_kinds(query=query, positive=query, negatives=gathered, nonsemantic=nonsemantic)
    _check_shapes(query, query, None, nonsemantic)
    own = nonsemantic.unsqueeze(1) if nonsemantic.ndim == 2 else nonsemantic  # (N, M, D)
    joint = own if gathered is None else gathered.view(len(gathered), -1, query.shape[1])  # (B, M, D)
    if joint.shape[1] != own.shape[1] or len(joint) < 2:
        raise ValueError(
            f"negatives of {len(joint)} images have {joint.shape[1]} each, those of the queries"
            f" {own.shape[1]}; give as many of each image, and at least 2 images"
        )
    return joint


def drop_columns(values: Tensor, columns: Tensor, kept: Tensor | None = None) -> Tensor:
    """Leave one column of each row out of (N, B) values: (N, B - 1), the others in order.

    Args:
        values: (N, B).
        columns: (N,) the column that each row leaves out.
        kept: which of the B - 1 columns to return, in this order; None for all.
    """
    if kept is None:
        kept = torch.arange(values.shape[1] - 1, device=values.device)
    return values.gather(1, kept + (kept >= columns.unsqueeze(1)))


def _leave_own_out(values: Tensor, start: int) -> Tensor:
    """Leave column start + i out of row i of (N, B) values."""
    N, B = values.shape
    if not 0 <= start <= B - N:
        raise ValueError(
            f"start is {start}; the {N} queries must have rows of their own among the {B} gathered"
        )
    if N < B:
        return drop_columns(values, torch.arange(start, start + N, device=values.device))
    # Without its first element, the flat (N, N) matrix has the diagonal in the last column of N + 1.
    return values.flatten()[1:].view(N - 1, N + 1)[:, :-1].reshape(N, N - 1)


def _check_kinds(**given: Tensor | None) -> None:
    """Refuse what is no tensor, and dtypes and devices that do not go together."""
    tensors = {name: value for name, value in given.items() if value is not None}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is a {type(value).__name__}; it must be a torch tensor")
    query = tensors["query"]
    device = query.device.type
    mixable = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    for value in tensors.values():
        same = value.dtype == query.dtype or (mixable and value.is_floating_point())
        if not (query.is_floating_point() and same and value.device == query.device):
            kinds = ", ".join(f"{n} {str(t.dtype).removeprefix('torch.')}" for n, t in tensors.items())
            places = {str(t.device) for t in tensors.values()}
            raise ValueError(
                f"{kinds}, on {' and '.join(sorted(places))}; give one floating dtype on one device,"
                " such as .float() of each"
            )


def _check_shapes(
    query: Tensor, positive: Tensor, negatives: Tensor | None, nonsemantic: Tensor | None
) -> None:
    if query.ndim != 2 or len(query) == 0:
        raise ValueError(f"query has shape {tuple(query.shape)}; it must be (N, D) with N >= 1")
    N, D = query.shape
    if positive.shape != query.shape:
        raise ValueError(f"positive has shape {tuple(positive.shape)}; it must match the query's {(N, D)}")
    if negatives is not None and (negatives.ndim != 2 or negatives.shape[1] != D):
        raise ValueError(f"negatives have shape {tuple(negatives.shape)}; they must be (K, D) with D = {D}")
    if nonsemantic is not None and (
        nonsemantic.ndim not in (2, 3) or nonsemantic.shape[0] != N or nonsemantic.shape[-1] != D
    ):
        raise ValueError(
            f"nonsemantic has shape {tuple(nonsemantic.shape)}; it must be ({N}, M, {D}) or ({N}, {D})"
        )

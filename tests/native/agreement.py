"""How far two sets of logits are apart: the measures of the quality gate."""

from __future__ import annotations

import numpy as np


def log_softmax(z_TV: np.ndarray) -> np.ndarray:
    """Natural, in float64."""
    shifted = z_TV.astype(np.float64) - z_TV.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(reference_TV: np.ndarray, other_TV: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence in nats, of `other` from `reference`."""
    p, q = log_softmax(reference_TV), log_softmax(other_TV)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def same_top(reference_TV: np.ndarray, other_TV: np.ndarray) -> float:
    """Share of positions at which the likeliest token is the same."""
    return float((reference_TV.argmax(axis=-1) == other_TV.argmax(axis=-1)).mean())


def margins_lost(reference_TV: np.ndarray, other_TV: np.ndarray) -> np.ndarray:
    """Where the likeliest tokens differ: by how many nats the reference prefers its own."""
    p = log_softmax(reference_TV)
    best, other = p.max(axis=-1), np.take_along_axis(p, other_TV.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    return (best - other)[reference_TV.argmax(axis=-1) != other_TV.argmax(axis=-1)]

"""Smoothed shares: what a logarithm needs.

The window is shrunk towards the reference, with the weight of Jeffreys' prior (half a row a group)::

    q = (r + 1/2) / (m + K/2)
    p = (c + (K/2) q) / (n + K/2)

so that no data means no difference, never an infinite one, and ten times the rows give the same number. K counts the
groups that have a row on either side: a group that is empty on both says nothing, and would otherwise make identical
counts differ (0.014 of PSI at a hundred rows, measured). Identical counts whose groups are of unequal size are at
distance zero only in the limit: 0.0002 of PSI for shares of 99.9 and 0.1 % at a thousand rows.
"""

import numpy as np

from detectors.arrays import Proportions
from detectors.comparison import GroupPair

__all__ = ["smoothed"]


def smoothed(groups: GroupPair) -> tuple[Proportions, Proportions]:
    """Smoothed shares of window and reference.

    Parameters
    ----------
    groups : GroupPair

    Returns
    -------
    p, q : Proportions, shape [..., n_groups_total]
        Of the window and of the reference; 1 and 1 in groups that are empty on both sides, so that they add nothing.
    """
    half = groups.each(groups.filled) / 2
    empty = groups.reference + groups.current == 0
    # A column without any row on either side has K = 0; its groups are all empty, so the 0/0 is never used.
    with np.errstate(invalid="ignore", divide="ignore"):
        q = (groups.reference + 0.5) / (groups.each(groups.reference_rows) + half)
        p = (groups.current + half * q) / (groups.each(groups.rows) + half)
    return Proportions(np.where(empty, 1.0, p)), Proportions(np.where(empty, 1.0, q))

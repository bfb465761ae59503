"""Exact percentiles of any number of samples, in bounded memory.

The percentile ``q`` of ``n`` samples is the one at index ``ceil((n - 1) * q)`` of the sorted samples, NumPy's
method "higher": a latency that some request really had, never one between two.

Selection is by radix, most significant digit first: a float's bits, with the sign turned, sort as the floats
do, so counting samples by their leading bits tells which few of them hold a rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bits = NDArray[np.uint64]
Chunks = Callable[[], Iterable[Floats]]  # the same samples again at every call, piece by piece

GATHERED = 250_000  # as many samples are sorted at once; more are first counted by their leading bits
DIGIT_BITS = 16
ALL_BITS = 64
SIGN = np.uint64(1 << 63)


def index_of(share: float, count: int) -> int:
    """The index, from 0, of the percentile ``share`` (0..1) among ``count`` sorted samples.

    Raises ValueError for a share outside 0..1 or no samples.
    """
    if not 0 <= share <= 1 or count < 1:
        raise ValueError(f"no percentile {share} of {count} samples")
    return math.ceil((count - 1) * share)


def percentiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """The exact percentiles of ``values`` at ``shares`` (0..1), NaN left out. Raises ValueError for none."""
    return exact_percentiles(lambda: (values,), shares)


def exact_percentiles(chunks: Chunks, shares: Sequence[float]) -> list[float]:
    """The same for samples that come in pieces, which are read two to six times.

    Memory is that of the largest piece and about 20 MB, however many samples there are. Raises ValueError
    where there is not a single sample.
    """
    count = count_of(chunks)
    return values_at(chunks, [index_of(share, count) for share in shares], count)


def percentile_with_failures(chunks: Chunks, failed: int, share: float) -> float | None:
    """The percentile where ``failed`` requests never ended: infinite latencies beside those of ``chunks``.

    None where that is unbounded (it falls among the failures) or where there is no request at all. Nothing
    is interpolated between a sample and infinity.
    """
    answered = count_of(chunks)
    if answered == 0:
        return None
    index = index_of(share, answered + failed)
    return values_at(chunks, [index], answered)[0] if index < answered else None


def count_of(chunks: Chunks) -> int:
    """How many samples there are, NaN left out."""
    return sum(int(np.count_nonzero(~np.isnan(chunk))) for chunk in chunks())


@dataclass(frozen=True)
class _Rank:
    """A rank looked for: number ``index`` of the ``count`` samples whose leading bits are ``prefix``."""

    prefix: int
    index: int
    count: int


def values_at(chunks: Chunks, indices: Sequence[int], count: int) -> list[float]:
    """The samples at ``indices`` (from 0) of all ``count`` samples sorted.

    Raises IndexError for an index that is not there.
    """
    for index in indices:
        if not 0 <= index < count:
            raise IndexError(f"no sample {index} among {count}")
    ranks = [_Rank(0, index, count) for index in indices]
    known = 0
    while known < ALL_BITS and sum({rank.prefix: rank.count for rank in ranks}.values()) > GATHERED:
        counts = _counts_by_digit(chunks, {rank.prefix for rank in ranks}, known)
        ranks = [_narrowed(rank, counts[rank.prefix]) for rank in ranks]
        known += DIGIT_BITS
    if known == ALL_BITS:
        return [float(_floats(np.array([rank.prefix], np.uint64))[0]) for rank in ranks]
    gathered = _gathered(chunks, {rank.prefix for rank in ranks}, known)
    return [float(gathered[rank.prefix][rank.index]) for rank in ranks]


def _counts_by_digit(chunks: Chunks, prefixes: set[int], known: int) -> dict[int, NDArray[np.int64]]:
    """For each prefix of ``known`` bits, how many samples have which next digit."""
    counts = {prefix: np.zeros(1 << DIGIT_BITS, np.int64) for prefix in prefixes}
    shift, mask = np.uint64(ALL_BITS - known - DIGIT_BITS), np.uint64((1 << DIGIT_BITS) - 1)
    for chunk in chunks():
        bits = _bits(chunk)
        for prefix in prefixes:
            digits = (_with_prefix(bits, prefix, known) >> shift) & mask
            counts[prefix] += np.bincount(digits.astype(np.int64), minlength=1 << DIGIT_BITS)
    return counts


def _narrowed(rank: _Rank, counts: NDArray[np.int64]) -> _Rank:
    up_to = np.cumsum(counts)
    digit = int(np.searchsorted(up_to, rank.index, side="right"))
    below = int(up_to[digit] - counts[digit])
    return _Rank(rank.prefix << DIGIT_BITS | digit, rank.index - below, int(counts[digit]))


def _gathered(chunks: Chunks, prefixes: set[int], known: int) -> dict[int, Floats]:
    """For each prefix of ``known`` bits, its samples, sorted."""
    pieces: dict[int, list[Bits]] = {prefix: [] for prefix in prefixes}
    for chunk in chunks():
        bits = _bits(chunk)
        for prefix, among in pieces.items():
            among.append(_with_prefix(bits, prefix, known))
    return {prefix: _floats(np.sort(np.concatenate(among))) for prefix, among in pieces.items()}


def _with_prefix(bits: Bits, prefix: int, known: int) -> Bits:
    return bits[bits >> np.uint64(ALL_BITS - known) == np.uint64(prefix)] if known else bits


def _bits(values: Floats) -> Bits:
    """Bits that sort as ``values`` do; NaN is left out, and -0.0 becomes 0.0."""
    present = np.asarray(values, np.float64)
    bits = (present[~np.isnan(present)] + 0.0).view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _floats(bits: Bits) -> Floats:
    floats: Floats = np.where(bits & SIGN, bits ^ SIGN, ~bits).view(np.float64)
    return floats

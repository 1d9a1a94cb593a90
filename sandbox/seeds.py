"""Pseudorandom numbers from a seed: integer mixing, distributions as lookup tables, and a business calendar."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import exp, log
from statistics import NormalDist

HOUR = 3_600_000
DAY = 24 * HOUR
QUANTILES = 1024

_MASK = (1 << 64) - 1
# 1970-01-01 was a Thursday: this many hours after its Monday.
_EPOCH_HOUR_OF_WEEK = 3 * 24


def mix(value: int) -> int:
    """Return 64 well-mixed bits of any non-negative integer (the finalizer of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def lognormal(median: float, sigma: float, most: float) -> tuple[int, ...]:
    """Return `QUANTILES` integers distributed log-normally around `median`, none above `most`, in ascending order."""
    normal = NormalDist()
    shares = ((n + 0.5) / QUANTILES for n in range(QUANTILES))
    return tuple(int(min(most, median * exp(sigma * normal.inv_cdf(share)))) for share in shares)


def geometric(mean: float, most: int) -> tuple[int, ...]:
    """Return `QUANTILES` counts with the given mean, in ascending order; at least 1 if the mean allows it."""
    if mean <= 1:
        ones = round(mean * QUANTILES)
        return (0,) * (QUANTILES - ones) + (1,) * ones
    stop = log(1 - 1 / mean)
    shares = ((n + 0.5) / QUANTILES for n in range(QUANTILES))
    return tuple(min(most, 1 + int(log(1 - share) / stop)) for share in shares)


class Timeline:
    """Points in time over `days` days that end at `now`, denser in office hours and toward the present.

    `at(share)` is the inverse of the cumulative volume. It never decreases as the share rises, so a row's number alone
    determines its time.
    """

    def __init__(self, now: int, days: int) -> None:
        hours = days * 24
        self.start = now - hours * HOUR
        first = self.start // HOUR + _EPOCH_HOUR_OF_WEEK
        weights = [_activity((first + hour) % 168) * (0.4 + 0.6 * hour / hours) for hour in range(hours)]
        self._weights = weights
        self._volume = [0.0, *accumulate(weights)]
        self.peak = max(weights) / self._volume[-1]

    def at(self, share: float) -> int:
        """Return the epoch milliseconds by which `share` (0 <= share < 1) of the whole volume has happened."""
        volume = self._volume
        wanted = share * volume[-1]
        hour = bisect_right(volume, wanted) - 1
        return self.start + int((hour + (wanted - volume[hour]) / self._weights[hour]) * HOUR)


def _activity(hour_of_week: int) -> float:
    """Return the relative volume of an hour of the week (UTC, Monday 00:00 = 0) for a business on the US east coast."""
    day, hour = divmod(hour_of_week, 24)
    if day >= 5:
        return 0.08
    if 13 <= hour < 22:
        return 1.0
    return 0.35 if 8 <= hour < 24 else 0.1

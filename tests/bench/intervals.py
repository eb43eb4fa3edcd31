# SPDX-License-Identifier: Apache-2.0
"""95 % intervals for alternated measurements, and the verdict against a limit. Standard library only.

Ratios: Student's t on the logarithms of the pairs' ratios (multiplicative noise becomes additive, and the two halves of a pair
share the machine's mood). Differences: percentile bootstrap of the median of the pairs' differences, with a fixed seed.
"""
import math
import random
import statistics

# Two-sided 95 % quantiles of Student's t; between entries the smaller number of degrees (the wider interval) counts.
_T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 12: 2.179, 15: 2.131,
        20: 2.086, 25: 2.060, 30: 2.042, 40: 2.021, 60: 2.000, 120: 1.980}


class Interval:
    def __init__(self, middle, low, high, count):
        self.middle, self.low, self.high, self.count = middle, low, high, count

    def as_dict(self):
        return {"middle": self.middle, "low": self.low, "high": self.high, "pairs": self.count}


def student_t95(degrees):
    return _T95[max(known for known in _T95 if known <= max(degrees, 1))]


def ratio_interval(pairs):
    """Of a/b over pairs (a, b), both positive; at least two pairs."""
    logs = [math.log(a / b) for a, b in pairs]
    mean = statistics.fmean(logs)
    half = student_t95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(pairs))


def difference_interval(pairs, rounds=4000):
    """Of the median of a - b over pairs (a, b)."""
    differences = [a - b for a, b in pairs]
    choice = random.Random(1)
    medians = sorted(statistics.median(choice.choices(differences, k=len(differences))) for _ in range(rounds))
    return Interval(statistics.median(differences), medians[int(0.025 * rounds)], medians[int(0.975 * rounds) - 1], len(pairs))


def verdict(interval, limit):
    """A cost is within its limit when the whole interval is, beyond it when the whole interval is, else nobody knows."""
    if interval.high <= limit:
        return "met"
    return "not met" if interval.low > limit else "unresolved"


def verdict_at_least(interval, limit):
    """The same for what must not fall below a limit."""
    if interval.low >= limit:
        return "met"
    return "not met" if interval.high < limit else "unresolved"

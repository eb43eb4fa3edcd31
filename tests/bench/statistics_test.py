# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the benchmarks: intervals cover what they should, verdicts follow the ends."""
import random
import unittest

import intervals


class IntervalsTest(unittest.TestCase):
    def noisy_pairs(self, choice, ratio, count=15, noise=0.03):
        pairs = []
        for _ in range(count):
            mood = 1 + 0.3 * choice.random()  # what both halves of a pair share
            pairs.append((mood * ratio * choice.lognormvariate(0, noise), mood * choice.lognormvariate(0, noise)))
        return pairs

    def test_ratio_covers_the_truth_19_times_in_20(self):
        choice = random.Random(3)
        covered = 0
        for _ in range(400):
            interval = intervals.ratio_interval(self.noisy_pairs(choice, 1.01))
            covered += interval.low <= 1.01 <= interval.high
        self.assertGreater(covered / 400, 0.92)
        self.assertLess(covered / 400, 0.985)

    def test_difference_covers_the_truth(self):
        choice = random.Random(4)
        covered = 0
        for _ in range(100):
            interval = intervals.difference_interval([(5 + choice.gauss(0, 1), 2 + choice.gauss(0, 1)) for _ in range(25)], rounds=400)
            covered += interval.low <= 3 <= interval.high
        self.assertGreater(covered, 85)

    def test_verdicts(self):
        self.assertEqual(intervals.verdict(intervals.Interval(1.0, 0.99, 1.01, 5), 1.01), "met")
        self.assertEqual(intervals.verdict(intervals.Interval(1.0, 0.99, 1.02, 5), 1.01), "unresolved")
        self.assertEqual(intervals.verdict(intervals.Interval(1.03, 1.02, 1.04, 5), 1.01), "not met")

    def test_verdicts_of_least_values(self):
        self.assertEqual(intervals.verdict_at_least(intervals.Interval(0.99, 0.98, 1.0, 5), 0.98), "met")
        self.assertEqual(intervals.verdict_at_least(intervals.Interval(0.99, 0.97, 1.0, 5), 0.98), "unresolved")
        self.assertEqual(intervals.verdict_at_least(intervals.Interval(0.9, 0.89, 0.97, 5), 0.98), "not met")

    def test_more_pairs_narrow_the_interval(self):
        choice = random.Random(5)
        few, many = (intervals.ratio_interval(self.noisy_pairs(choice, 1, count)) for count in (5, 80))
        self.assertLess(many.high - many.low, few.high - few.low)

    def test_quantiles_never_too_small(self):
        self.assertEqual(intervals.student_t95(11), 2.228)
        self.assertEqual(intervals.student_t95(10000), 1.980)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""What the agent says it cost is what a program can see from outside: a loop that only reads the clock counts the time that
samples steal from it, with and without the agent."""
import re
import statistics
import unittest

from recording import HIGHEST_RATE, LONG, Scratch, clean_environment, program, report, run


class OverheadTest(Scratch):
    PAIRS = 15 if LONG else 5
    SECONDS = "1.0"

    def stolen_fraction(self, stdout):
        stolen, cpu = map(int, re.search(rb"stolen_ns (\d+) cpu_ns (\d+)", stdout).groups())
        return stolen / cpu

    def measure(self, *options):
        """(median cost seen from outside, median cost as reported), as fractions of the CPU time."""
        command, seen, said = [program("stolen_time"), self.SECONDS], [], []
        for pair in range(self.PAIRS):
            bare = self.stolen_fraction(run(command, env=clean_environment()).stdout)
            done, dump = self.record(command, *options, name=f"{pair}{len(options)}.tbk")
            seen.append(self.stolen_fraction(done.stdout) - bare)
            said.append(report(dump)["recording"]["overhead_fraction"])
        return statistics.median(seen), statistics.median(said)

    def check(self, seen, said, limit):
        # Ticks of other programs on the machine come and go between the two halves of a pair: 0.2 % of slack.
        slack = 0.002
        self.assertLess(said, 2 * max(seen, 0) + slack, f"says {said:.5f}, seen from outside {seen:.5f}")
        self.assertGreater(said, 0.5 * seen - slack, f"says {said:.5f}, seen from outside {seen:.5f}")
        self.assertGreater(said, 0)
        self.assertLess(said, limit)

    def test_default_rate(self):
        self.check(*self.measure(), limit=0.01)

    def test_highest_rate(self):
        self.check(*self.measure("-F", HIGHEST_RATE), limit=0.02)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Whose CPU time it was: the seconds of each thread in the report are those of its CPU clock, also for threads that block
every signal and for threads too short to be sampled."""
import os
import re
import unittest

import sample_data
from recording import HIGHEST_RATE, LONG, Scratch, find_program, program, report


def cpu_seconds(data, of=lambda row: True):
    return sum(row["cpu_seconds"] for row in data["threads"] if of(row))


def is_main(data):
    return lambda row: row["tid"] == data["target"]["pid"]


class ThreadClocksTest(Scratch):
    TOLERANCE = 0.05

    def check(self, count, microseconds, width, blocked=False, preloaded=False):
        command = [program("short_threads"), str(count), str(microseconds), str(width)] + (["blocked"] if blocked else [])
        done, dump = (self.preload if preloaded else self.record)(command, timeout=120)
        self.assertEqual(done.status, 0, done.stderr)
        threads, clock_ns = map(int, re.match(rb"threads (\d+) cpu_ns (\d+)", done.stdout).groups())
        data = report(dump)
        others = lambda row: not is_main(data)(row)
        self.assertEqual(sum(row.get("count", 1) for row in data["threads"] if others(row)), threads)
        self.assertAlmostEqual(cpu_seconds(data, others), clock_ns / 1e9, delta=self.TOLERANCE * clock_ns / 1e9)
        return data, clock_ns / 1e9

    def test_ten_thousand_threads_of_a_millisecond(self):
        self.check(10000, 1000, 4)

    def test_ten_thousand_threads_without_the_launcher(self):
        self.check(10000, 1000, 4, preloaded=True)

    def test_threads_that_block_every_signal(self):
        data, clock = self.check(4, 700000, 4, blocked=True)
        sampled = sum(row["sampled_seconds"] for row in data["threads"])
        self.assertGreater(sampled, 0.9 * clock, "blocked threads have CPU time but no stacks")

    def test_many_short_threads_that_block_every_signal(self):
        self.check(2000, 1000, 4, blocked=True)

    def test_more_threads_than_cpus(self):
        self.check(64, 50000, 64)

    def test_each_of_some_long_threads(self):
        done, dump = self.record([program("short_threads"), "6", "400000", "2"])
        data = report(dump)
        rows = [row for row in data["threads"] if not is_main(data)(row)]
        self.assertEqual(len(rows), 6)
        for row in rows:
            self.assertAlmostEqual(row["cpu_seconds"], 0.4, delta=0.4 * self.TOLERANCE)
            self.assertAlmostEqual(row["sampled_seconds"] + row["unsampled_seconds"], row["cpu_seconds"], delta=0.4 * self.TOLERANCE)
        self.assertEqual(done.status, 0)


class RealProgramsTest(Scratch):
    @classmethod
    def setUpClass(cls):
        cls.text = sample_data.text(24 if LONG else 10)

    def compress(self, *options):
        with open(self.path("big"), "wb") as out:
            out.write(self.text)
        done, dump = self.record([find_program("xz"), *options, "-k", "-c", self.path("big")], timeout=300)
        self.assertEqual(done.status, 0)
        return report(dump)

    def test_xz_with_workers(self):
        data = self.compress("-T2", "--block-size=2MiB", "-4")
        total = cpu_seconds(data)
        workers = [row for row in data["threads"] if not is_main(data)(row)]
        self.assertGreaterEqual(len(workers), 2)
        self.assertGreater(cpu_seconds(data, lambda row: not is_main(data)(row)), 0.95 * total)
        self.assertGreater(sum(row["sampled_seconds"] for row in workers), 0.9 * total)
        self.assertLessEqual(data["recording"]["truncated_stacks_fraction"], 0.001)
        modules = {frame["module"] for finding in data["findings"] for stack in finding["stacks"] for frame in stack["frames"]}
        self.assertTrue(any(module.startswith("liblzma") for module in modules), modules)

    def test_xz_with_one_thread(self):
        data = self.compress("-T1", "-4")
        found = self.findings(data, "cpu-single-threaded")
        self.assertTrue(found, [finding["rule"] for finding in data["findings"]])
        self.assertGreater(cpu_seconds(data, is_main(data)), 0.95 * cpu_seconds(data))
        culprits = [found[0]["culprit"]["module"]] + [frame["module"] for stack in found[0]["stacks"] for frame in stack["frames"]]
        self.assertTrue(any(module.startswith("liblzma") for module in culprits), culprits)

    def test_cpu_of_the_process_is_that_of_the_kernel(self):
        """Against what the kernel charged from outside, for a program of one thread and one of several."""
        for command in ([find_program("sqlite3"), ":memory:"], [program("short_threads"), "40", "30000", "3"]):
            name = os.path.basename(command[0]) + ".tbk"
            done, dump = self.preload(command, name=name, stdin=sample_data.sql(6000000) if "sqlite3" in command[0] else b"")
            data = report(dump)
            # The kernel's sum has what comes before and after the library too: a few milliseconds.
            self.assertAlmostEqual(data["summary"]["cpu_seconds"], done.cpu, delta=0.05 * done.cpu + 0.015)
            self.assertAlmostEqual(cpu_seconds(data), data["summary"]["cpu_seconds"], delta=0.05 * done.cpu + 0.015)

    def test_highest_rate_weighs_right(self):
        """The kernel's timers cannot keep the asked rate: the weights must make up for it."""
        done, dump = self.record([program("short_threads"), "2", "800000", "2"], "-F", HIGHEST_RATE)
        clock = int(re.search(rb"cpu_ns (\d+)", done.stdout).group(1)) / 1e9
        sampled = sum(row["sampled_seconds"] for row in report(dump)["threads"])
        self.assertAlmostEqual(sampled, clock, delta=0.05 * clock)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""What a recording may take: resident memory of the process beyond the bare program's, and bytes of the dump."""
import os
import re
import unittest

from recording import LONG, Scratch, clean_environment, program, report, run

MEBIBYTE = 1 << 20


class MemoryTest(Scratch):
    BASE, PER_THREAD = 16 * MEBIBYTE, 64 << 10

    def resident(self, done):
        return int(re.search(rb"resident_bytes (\d+)", done.stdout).group(1))

    def check(self, threads):
        command = [program("waiting_threads"), str(threads)]
        bare = self.resident(run(command, env=clean_environment()))
        done, dump = self.record(command, name=f"{threads}.tbk")
        added, allowed = self.resident(done) - bare, self.BASE + threads * self.PER_THREAD
        self.assertLessEqual(added, allowed, f"{threads} threads: {added / MEBIBYTE:.1f} MiB added, allowed {allowed / MEBIBYTE:.1f}")
        self.assertGreaterEqual(report(dump)["summary"]["threads_peak"], threads)

    def test_one_thread(self):
        self.check(1)

    def test_hundred_threads(self):
        self.check(100)

    def test_thousand_threads(self):
        self.check(1000)


class DumpSizeTest(Scratch):
    PER_MINUTE = 2 * MEBIBYTE
    # Detailed windows are 200 ms of every 5 s with every sample kept: the share of time, the samples of all CPUs at the default
    # rate, and a record of at most 32 bytes.
    DETAIL_PER_MINUTE = 60 * (0.2 / 5) * 199 * (os.cpu_count() or 1) * 32
    # Names, modules, stacks and the blocks that are begun are there from the first second on.
    ONCE = 256 << 10

    def test_busy_program_of_eight_threads(self):
        seconds = 60 if LONG else 15
        _, dump = self.record([program("steady_progress"), "8", str(seconds)], timeout=seconds + 60)
        size, allowed = os.path.getsize(dump), (self.PER_MINUTE + self.DETAIL_PER_MINUTE) * seconds / 60 + self.ONCE
        self.assertLessEqual(size, allowed, f"{size} bytes in {seconds} s")
        data = report(dump)
        self.assertEqual(data["recording"]["dump_bytes"], size)
        self.assertEqual(data["recording"]["dropped_events"], 0)

    def test_limit_of_the_size(self):
        """At the limit recording coarsens or stops, never the program."""
        done, dump = self.record([program("short_threads"), "3000", "300", "8"], "--max-size", str(256 << 10))
        self.assertEqual(done.status, 0)
        self.assertLessEqual(os.path.getsize(dump), 256 << 10)
        data = report(dump)
        self.assertTrue(data["recording"]["notes"], "the limit was met and the report does not say so")


if __name__ == "__main__":
    unittest.main()

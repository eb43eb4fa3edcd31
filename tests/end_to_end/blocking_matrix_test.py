# SPDX-License-Identifier: Apache-2.0
"""Every call that may wait, each blocked once for 50 ms in a thread of its own: the recording must have it exactly once, under the
right kind, with the time that the thread's own clock saw. The program names the thread, the kind and its clock on each line."""
import collections
import os
import re
import unittest

import raw_records
from recording import Scratch, program

CALLS = os.path.join(raw_records.ROOT, "agent", "trace", "calls.def")
SHORTEST_MS, LONGEST_MS = 40, 80
UNCHOSEN = {"fsync", "fdatasync", "sync_file_range", "msync"}  # these take what the disk takes, and their threads sleep afterwards
NOISE_NS = 10_000_000  # a call that does not block may still lose its CPU to somebody

Seen = collections.namedtuple("Seen", "kinds own_ns")


def call_kinds():
    """{number: name}"""
    with open(CALLS, encoding="utf-8") as source:
        return {int(number): name for number, name in re.findall(r"^CALL\((\d+), (\w+),", source.read(), re.M)}


def printed(output):
    """({thread name: Seen}, lines that say otherwise) of what the program said."""
    seen, others = {}, []
    for line in output.decode().splitlines():
        words = line.split()
        if len(words) == 4 and words[2] == "right":
            seen[words[0]] = Seen(words[1].split("|"), int(words[3]) * 1000)
        else:
            others.append(line)
    return seen, others


def tolerance(own_ns):
    return max(own_ns * 0.02, 20_000)


class BlockingMatrixTest(Scratch):
    def aggregates(self, table):
        """{thread name: [call_aggregate with time blocked]}, by every name that a thread had."""
        names = collections.defaultdict(set)
        for record in table["thread_name"]:
            names[record["thread"]].add(record["name"].decode())
        found = collections.defaultdict(list)
        for record in table["call_aggregate"]:
            if record["blocked_calls"]:
                for name in names[record["thread"]]:
                    found[name].append(record)
        return found

    def check(self, name, seen, aggregates, kinds):
        least, ignored = (seen.own_ns / 2, "sleep") if name in UNCHOSEN else (NOISE_NS, None)
        blocked = [(kinds.get(one["call"], one["call"]), one["blocked_calls"], one["blocked_ns"]) for one in aggregates]
        blocked = [one for one in blocked if one[0] != ignored and one[2] >= least]
        self.assertEqual(len(blocked), 1, f"{blocked} instead of one record of {seen}")
        kind, calls, blocked_ns = blocked[0]
        self.assertIn(kind, seen.kinds)
        self.assertEqual(calls, 1)
        self.assertAlmostEqual(blocked_ns, seen.own_ns, delta=tolerance(seen.own_ns))
        if name not in UNCHOSEN:
            self.assertTrue(SHORTEST_MS * 1e6 <= blocked_ns <= LONGEST_MS * 1e6, f"{blocked_ns} ns")

    def wrong_calls(self):
        """{call: what is wrong} of one run."""
        done, dump = self.record([program("blocking_matrix"), "times"], timeout=120)
        seen, others = printed(done.stdout)
        self.assertEqual((done.status, [line for line in others if " skipped: " not in line]), (0, []))
        self.assertGreater(len(seen), 90)
        aggregates, kinds, wrong = self.aggregates(raw_records.tables(dump)), call_kinds(), {}
        for name, one in seen.items():
            try:
                self.check(name, one, aggregates[name], kinds)
            except AssertionError as error:
                wrong[name] = str(error)
        return wrong

    def test_each_call_once_under_its_kind(self):
        """A thread that loses its CPU between its own clock and the hook's sees another time: what is wrong once is tried again."""
        wrong = self.wrong_calls()
        for _ in range(2):
            if wrong:
                again = self.wrong_calls()
                wrong = {name: error for name, error in again.items() if name in wrong}
        self.assertEqual(wrong, {})

    def test_sleeps_at_intervals_are_told_from_a_schedule(self):
        kinds = call_kinds()
        for way, expected in (("same", "sleep"), ("rest", "sleep_until"), ("moments", "sleep_until"), ("interval", "sleep")):
            with self.subTest(way=way):
                _, dump = self.record([program("sleeps"), way])
                calls = collections.Counter()
                for record in raw_records.tables(dump)["call_aggregate"]:
                    calls[kinds[record["call"]]] += record["calls"]
                self.assertGreaterEqual(calls[expected], 0.8 * (calls["sleep"] + calls["sleep_until"]), calls)
                self.assertGreater(calls[expected], 20)  # on a busy machine some moments have passed

    def test_who_wakes_a_futex_is_told(self):
        """By syscall() itself, and by the standard library, which calls it."""
        _, dump = self.record([program("blocking_matrix"), "times"], timeout=120)
        kinds = call_kinds()
        objects = collections.defaultdict(set)
        for record in raw_records.tables(dump)["call_aggregate"]:
            objects[kinds.get(record["call"])].add(record["object"])
        self.assertGreaterEqual(len(objects["futex_wake"]), 2)
        self.assertGreaterEqual(len(objects["futex_wake"] & objects["futex_wait"]), 2)


if __name__ == "__main__":
    unittest.main()

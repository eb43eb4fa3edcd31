# SPDX-License-Identifier: Apache-2.0
"""What a recording says of the heap against programs that count their own allocations: to the byte where it is exact, within the
stated bounds where it is sampled."""
import collections
import json
import math
import re
import unittest

import forms
from raw_records import tables
from recording import TAILBACK, Scratch, program, run

FIGURES = {"calls": "blocks", "bytes": "bytes", "frees": "freed_blocks", "freed_bytes": "freed_bytes"}


def by_function(table, kind):
    """{site_...: {figure: sum}} of the records of a kind, by the function of the program that allocated; None: by nobody of it. What
    the C++ runtime allocates for an exception that it throws there is the program's, but not in the program's own count."""
    functions = collections.defaultdict(set)
    for frame in table["frame_info"]:
        functions[frame["address"]].add(frame["function"].decode())
    nodes = {node["id"]: node for node in table["stack_node"]}
    last = {record["stack"]: record for record in table[kind]}  # sums are cumulative
    sums = collections.defaultdict(collections.Counter)
    for stack, record in last.items():
        node, site = nodes.get(stack), None
        while node is not None:
            for function in functions[node["address"]]:
                found = re.search(r"\bsite_\w+", function)
                site = "exception" if "__cxa_allocate_exception" in function else site or (found and found.group())
            node = nodes.get(node["parent"])
        sums[site].update({name: value for name, value in record.items() if isinstance(value, int)})
    return sums


class AllocationsTest(Scratch):
    def counted(self, *arguments, options):
        """(what the program counted, tables of the dump). With names: no -q."""
        dump = self.path(self.fresh_name())
        done = run([TAILBACK, "record", "-o", dump, *options, "--", program("counted_allocations"), *map(str, arguments)], timeout=240)
        self.assertEqual(done.status, 0, done.stderr)
        return json.loads(done.stdout), tables(dump)

    def test_exact_is_exact(self):
        for threads, operations, seed in ((1, 100_000, 1), (2, 50_000, 2), (8, 30_000, 3), (24, 10_000, 4)):
            with self.subTest(threads=threads):
                truth, table = self.counted(threads, operations, seed, options=("--alloc", "exact"))
                sums = by_function(table, "allocation_site")
                for site, counted in truth["sites"].items():
                    self.assertEqual({name: sums[site][figure] for name, figure in FIGURES.items()}, {name: counted[name] for name in FIGURES}, site)
                    self.assertAlmostEqual(sums[site]["temporary"], counted["temporary"], delta=0.03 * counted["temporary"] + 20)
                heap = table["heap_state"][-1]
                self.assertEqual(heap["exact"], 1)
                live = sum(counted["live_bytes"] for counted in truth["sites"].values())
                self.assertEqual(sum(sums[site]["bytes"] - sums[site]["freed_bytes"] for site in truth["sites"]), live)
                self.assertGreaterEqual(heap["peak_bytes"], live)
                self.assertGreaterEqual(heap["peak_bound_bytes"], heap["peak_bytes"])

    def test_the_peak_of_one_thread_is_exact(self):
        truth, table = self.counted(1, 100_000, 5, options=("--alloc", "exact"))
        heap, sums = table["heap_state"][-1], by_function(table, "allocation_site")
        others = sum(sum_["peak_bytes"] for site, sum_ in sums.items() if site not in truth["sites"])
        self.assertEqual(sum(sum_["peak_bytes"] for sum_ in sums.values()), heap["peak_bytes"])
        self.assertLessEqual(abs(heap["peak_bytes"] - truth["peak_bytes"]), others + 1024)

    def test_sampled_keeps_what_it_states(self):
        """Of many estimates nearly all lie within two of their standard deviations. One run in ten thousand would fail by chance."""
        inside = all_ = 0
        for seed in range(1, forms.rounds(5, 40) + 1):
            truth, table = self.counted(4, 30_000, seed, options=("--alloc", "sampled", "--alloc-interval", "100000"))
            sums = by_function(table, "allocation_samples")
            for site, counted in truth["sites"].items():
                deviation = math.sqrt(sums[site]["variance_kib2"]) * 1024
                all_ += 1
                inside += abs(sums[site]["bytes"] - counted["bytes"]) <= 2 * deviation
                self.assertLess(deviation, 0.5 * counted["bytes"], site)
        self.assertGreaterEqual(inside, 0.8 * all_)

    def test_off_is_off(self):
        truth, table = self.counted(2, 1_000, 1, options=("--alloc", "off"))
        self.assertTrue(truth["sites"])
        self.assertFalse(table["allocation_site"] or table["heap_state"])


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Blocks that are lost at the end, against LeakSanitizer's judgement of the same source: every site of the planted program asks for a
size of its own, so that sizes name sites. Under other allocators nothing may be called lost that is not."""
import collections
import os
import re
import unittest

import raw_records
from recording import SKIPPED, UNPACKED, Scratch, clean_environment, preload_environment, program, run

FOLDERS = ("/usr/lib/x86_64-linux-gnu", f"{UNPACKED}/usr/lib/x86_64-linux-gnu")
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}
KEPT = {72, 301, 404, 24, 333, 345, 555, 606, 607}  # sizes that are never lost


def library(name):
    return next((path for path in (os.path.join(folder, ALLOCATORS[name]) for folder in FOLDERS) if os.path.exists(path)), None)


def judged(text):
    """{size: [blocks, direct blocks]} as LeakSanitizer says; it counts an empty block as one byte."""
    found = collections.defaultdict(lambda: [0, 0])
    for kind, size, blocks in re.findall(r"^(Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object", text, re.M):
        each = found[int(size) // int(blocks)]
        each[0] += int(blocks)
        each[1] += int(blocks) if kind == "Direct" else 0
    return {size: tuple(each) for size, each in found.items()}


def recorded(table):
    found = collections.defaultdict(lambda: [0, 0])
    for site in table["leaked_site"]:
        blocks = site["direct_blocks"] + site["indirect_blocks"]
        each = found[(site["direct_bytes"] + site["indirect_bytes"]) // blocks or 1]
        each[0] += blocks
        each[1] += site["direct_blocks"]
    return {size: tuple(each) for size, each in found.items()}


class LeaksTest(Scratch):
    def planted(self, *arguments, allocator=None):
        output = self.path(self.fresh_name())
        environment = preload_environment(output, alloc="exact")
        if allocator:
            environment["LD_PRELOAD"] += ":" + library(allocator)
        done = run([program("planted_leaks"), *arguments], cwd=self.folder, env=environment)
        self.assertEqual((done.status, done.stdout, done.stderr), (3, b"done\n", b""))
        table = raw_records.tables(output)
        self.assertEqual(len(table["leak_scan"]), 1)
        scan = table["leak_scan"][0]
        self.assertEqual((scan["completed"], scan["reason"]), (1, b""))
        found = recorded(table)
        self.assertEqual(sum(blocks for blocks, _ in found.values()), scan["leaked_blocks"])
        return found, table

    def judge(self, *arguments):
        done = run([program("planted_leaks_judged"), *arguments], cwd=self.folder, env=clean_environment(LSAN_OPTIONS="exitcode=9"))
        if b"LeakSanitizer has encountered a fatal error" in done.stderr:
            self.skipTest("LeakSanitizer may not trace here")
        self.assertEqual(done.status, 9, done.stderr)
        return judged(done.stderr.decode())

    def compare(self, found, expected):
        ring = 80  # two blocks that refer to each other: we call one of them the first
        self.assertEqual({size: blocks for size, (blocks, _) in found.items()}, {size: blocks for size, (blocks, _) in expected.items()})
        for size in expected:
            if size != ring:
                self.assertEqual(found[size][1], expected[size][1], f"direct blocks of {size} bytes")
        self.assertEqual(found[ring], (2, 1))

    def test_one_thread(self):
        found, _ = self.planted()
        self.compare(found, self.judge())
        self.assertFalse(KEPT & found.keys())

    def test_a_thread_that_runs_on(self):
        found, table = self.planted("5")
        expected = {size: count for size, count in self.judge("5").items() if size not in KEPT}  # its registers are none of ours to see
        self.compare(found, expected)
        self.assertEqual(table["leak_scan"][0]["other_threads"], 1)

    def test_a_mapping_of_the_program_refers(self):
        found, _ = self.planted("0", "mapping")
        self.assertFalse(KEPT & found.keys())

    def test_other_allocators(self):
        expected = self.judge()
        for name in ALLOCATORS:
            if not library(name):
                continue
            with self.subTest(name):
                found, table = self.planted(allocator=name)
                self.assertEqual({size: count for size, count in found.items() if count[0] > expected.get(size, (0, 0))[0]}, {})
                self.assertFalse(KEPT & found.keys())
                state = table["allocator_state"][-1]
                self.assertEqual(state["allocator"].decode(), name)
                self.assertGreater(state["mapped_bytes"], 3 << 20)

    def test_statistics_of_glibc(self):
        _, table = self.planted()
        state = table["allocator_state"][-1]
        heap = table["heap_state"][-1]
        live = heap["bytes"] - heap["freed_bytes"]
        self.assertEqual(state["allocator"], b"glibc")
        self.assertGreater(state["in_use_bytes"], live)
        self.assertLess(state["in_use_bytes"], live + (512 << 10))
        self.assertGreaterEqual(state["mapped_bytes"], state["in_use_bytes"])

    def test_not_looked_for_where_it_cannot_be_known(self):
        for options in ({"alloc": "sampled"}, {"alloc": "off"}):
            output = self.path(self.fresh_name())
            run([program("planted_leaks")], cwd=self.folder, env=preload_environment(output, **options))
            self.assertEqual(raw_records.tables(output)["leak_scan"], [])


if __name__ == "__main__":
    if not os.path.exists(program("planted_leaks_judged")):
        raise SystemExit(SKIPPED)
    unittest.main()

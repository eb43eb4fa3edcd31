# SPDX-License-Identifier: Apache-2.0
"""Stacks are whole: programs as Debian ships them, without frame pointers and symbols, down to the thread's root."""
import unittest

import raw_records
import sample_data
from recording import TAILBACK, Scratch, find_program, report, run


class StacksTest(Scratch):
    COMPLETE = 0.999

    def check(self, command, **how):
        done, dump = self.record(command, timeout=120, **how)
        self.assertEqual(done.status, 0, done.stderr)
        share = raw_records.complete_share(dump)
        self.assertGreater(share.samples, 50, "too few samples to judge")
        self.assertGreaterEqual(share.complete, self.COMPLETE, f"of {share.samples} samples; incomplete: {share.examples}")
        self.assertLessEqual(report(dump)["recording"]["truncated_stacks_fraction"], 1 - self.COMPLETE)
        return dump, share

    def write(self, name, content):
        with open(self.path(name), "wb") as out:
            out.write(content)
        return self.path(name)

    def test_python_down_to_start(self):
        dump, _ = self.check([find_program("python3"), self.write("work.py", sample_data.python_script())])
        stacks = self.folded(dump)
        total = sum(weight for _, weight in stacks)
        from_start = sum(weight for frames, weight in stacks if frames[0] == "_start")
        self.assertGreaterEqual(from_start, 0.98 * total)  # what has no sample has no stack: the start of the program
        self.assertTrue(any("Py_BytesMain" in frames for frames, _ in stacks))

    def test_clang_deep_recursion(self):
        clang = "/usr/lib/llvm-14/bin/clang"  # the front end itself, not the driver
        source = self.write("deep.cpp", sample_data.deep_expression())
        _, share = self.check([clang, "-cc1", "-fsyntax-only", "-x", "c++", source])
        self.assertGreater(share.deepest, 200, "the recursion is not in the stacks")

    def test_clang_templates(self):
        self.check([find_program("clang++-14"), "-fsyntax-only", "-std=c++17", self.write("big.cpp", sample_data.cpp_source(150))])

    def test_sqlite3(self):
        self.check([find_program("sqlite3"), ":memory:"], stdin=sample_data.sql(6000000))

    def test_jq(self):
        self.check([find_program("jq"), "group_by(.name) | map(length)"], stdin=sample_data.json_rows(60000))

    def test_xz_and_zstd_workers(self):
        text = self.write("text", sample_data.text(6))
        self.check([find_program("xz"), "-T2", "--block-size=1MiB", "-4", "-k", "-c", text], name="xz.tbk")
        self.check([find_program("zstd"), "-q", "-T2", "-15", "-B1048576", "-c", text], name="zstd.tbk")

    def folded(self, dump):
        """[(frames from the root inward, weight)] as exported."""
        done = run([TAILBACK, "export", "--format", "folded", dump])
        self.assertEqual(done.status, 0, done.stderr)
        lines = [line.rsplit(" ", 1) for line in done.stdout.decode().splitlines() if not line.startswith("#")]
        return [(stack.split(";"), int(weight)) for stack, weight in lines]



if __name__ == "__main__":
    unittest.main()

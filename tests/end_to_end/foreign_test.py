# SPDX-License-Identifier: Apache-2.0
"""Profiles of other tools through the command: reported on, exported, and refused with a reason."""
import gzip
import json
import os
import re
import resource
import unittest

from recording import Scratch, TAILBACK, clean_environment, run

PROFILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "analyzers", "foreign", "profiles")
SOURCES = {"shop.heaptrack.zst": "heaptrack file", "shop.gperftools.heap": "gperftools heap profile", "shop.gperftools.growth": "gperftools growth profile",
           "shop.gperftools.sampled": "gperftools heap profile", "shop.jemalloc.heap": "jemalloc heap dump", "shop.go.heap.pb.gz": "pprof heap profile",
           "shop.go.cpu.pb.gz": "pprof CPU profile", "shop.folded": "file of folded stacks"}


def profile(name):
    return os.path.join(PROFILES, name)


def bounded():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


class ForeignTest(Scratch):
    def test_reports(self):
        for name, source in SOURCES.items():
            with self.subTest(name):
                done = run([TAILBACK, "report", "-q", "--json", "-", profile(name)], timeout=60, preexec=bounded)
                self.assertEqual(done.status, 0, done.stderr)
                data = json.loads(done.stdout)
                self.assertEqual(data["target"]["source"], source)
                self.assertTrue(data["target"]["complete"])
                outcomes = {rule["rule"]: rule for rule in data["rules"]}
                self.assertEqual(outcomes["cpu-spin"]["outcome"], "not_applicable")
                self.assertIn(source, outcomes["cpu-spin"]["detail"])

    def test_cpu_profile_finds_the_hot_function(self):
        done = run([TAILBACK, "report", "-q", "--json", "-", profile("shop.go.cpu.pb.gz")])
        first = json.loads(done.stdout)["findings"][0]
        self.assertEqual((first["rule"], first["culprit"]["function"], first["gain"]["metric"]), ("cpu-hotspot", "main.spin", "cpu_time"))

    def export(self, name, *options):
        done = run([TAILBACK, "export", "-q", *options, profile(name)])
        self.assertEqual(done.status, 0, done.stderr)
        return done.stdout

    def test_export_of_a_foreign_heap(self):
        lines = self.export("shop.heaptrack.zst", "--format", "folded", "--kind", "allocs", "--unit", "blocks").decode().splitlines()
        churn = [int(line.rsplit(" ", 1)[1]) for line in lines if ";churn;" in line]
        self.assertEqual(churn, [200])
        go = next(path for path in ("/usr/bin/go", "/usr/lib/go-1.19/bin/go") if os.path.exists(path))
        out = self.path("heap.pb.gz")
        for kind, total in (("heap", "5178.75kB"), ("allocs", "10")):
            self.export("shop.go.heap.pb.gz", "--format", "pprof", "--kind", kind, "-o", out, "--force")
            done = run([go, "tool", "pprof", "-top", out], env=clean_environment(HOME=self.folder, PPROF_TMPDIR=self.folder), cwd=self.folder, timeout=120)
            self.assertEqual(done.status, 0, done.stderr)
            self.assertRegex(done.stdout.decode(), r"of " + re.escape(total))

    def test_refusals(self):
        raw = self.path("raw")
        with open(raw, "wb") as out:
            out.write(b"v 10400 9\nX p\n")
        plain = self.path("text.gz")
        with gzip.open(plain, "wb") as out:
            out.write(b"no profile\n")
        for arguments, status, says in (
                (["report", raw], 1, b"format version"), (["report", plain], 1, b"text.gz"),
                (["report", "--from", "1", profile("shop.folded")], 1, b"read as a whole"),
                (["export", "--format", "folded", "--kind", "heap", profile("shop.folded")], 1, b"holds no allocations"),
                (["export", "--format", "folded", "--kind", "peak", profile("shop.gperftools.heap")], 1, b"peak"),
                (["export", "--format", "folded", "--kind", "no", profile("shop.folded")], 2, b"cpu, heap, allocs, peak"),
                (["export", "--format", "folded", "--kind", "peak", "--unit", "blocks", profile("shop.heaptrack.zst")], 2, b"it takes bytes"),
                (["export", "--format", "pprof", "--kind", "heap", "--by-thread", "-o", raw, profile("shop.heaptrack.zst")], 2, b"--by-thread")):
            with self.subTest(arguments):
                done = run([TAILBACK, *arguments])
                self.assertEqual(done.status, status, done.stderr)
                self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()

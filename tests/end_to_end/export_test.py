# SPDX-License-Identifier: Apache-2.0
"""Exports of a real recording: read by a protoc-generated reader and by Go's pprof, and all of one mind with the report."""
import gzip
import os
import re
import subprocess
import unittest

from recording import Scratch, TAILBACK, clean_environment, find_program, program, report, run

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
READER = r"""
#include <fstream>
#include <iostream>
#include <set>
#include "profile.pb.h"
int fail(const char* why) { std::cerr << why << "\n"; return 1; }
int main(int, char** argv) {
  std::ifstream in(argv[1], std::ios::binary);
  perftools::profiles::Profile p;
  if (!p.ParseFromIstream(&in)) return fail("does not parse");
  if (p.string_table_size() == 0 || !p.string_table(0).empty()) return fail("the first string is not empty");
  const auto text = [&](long i) { return p.string_table().Get(static_cast<int>(i)); };
  const auto known = [&](long i) { return i >= 0 && i < p.string_table_size(); };
  for (int i = 0; i < p.mapping_size(); ++i)
    if (p.mapping(i).id() != static_cast<unsigned long>(i + 1) || !known(p.mapping(i).filename()) || !known(p.mapping(i).build_id())) return fail("mapping");
  std::set<unsigned long> functions, locations;
  for (const auto& f : p.function()) {
    if (!known(f.name()) || !known(f.system_name()) || !known(f.filename()) || text(f.name()).empty()) return fail("function without a name");
    functions.insert(f.id());
  }
  for (const auto& l : p.location()) {
    if (l.line_size() == 0) return fail("location without a line");
    if (l.mapping_id() > static_cast<unsigned long>(p.mapping_size())) return fail("location in no mapping");
    for (const auto& line : l.line()) if (!functions.count(line.function_id())) return fail("line of no function");
    locations.insert(l.id());
  }
  if (locations.size() != static_cast<size_t>(p.location_size()) || *locations.rbegin() != locations.size()) return fail("ids of locations");
  if (functions.size() != static_cast<size_t>(p.function_size()) || *functions.rbegin() != functions.size()) return fail("ids of functions");
  long samples = 0, cpu = 0;
  for (const auto& s : p.sample()) {
    if (s.value_size() != p.sample_type_size() || s.location_id_size() == 0) return fail("sample");
    for (const auto id : s.location_id()) if (!locations.count(id)) return fail("sample at no location");
    samples += s.value(0), cpu += s.value(1);
  }
  std::cout << text(p.sample_type(0).type()) << "/" << text(p.sample_type(0).unit()) << " " << text(p.sample_type(1).type()) << "/"
            << text(p.sample_type(1).unit()) << " " << text(p.period_type().type()) << "/" << text(p.period_type().unit()) << " "
            << text(p.default_sample_type()) << " " << text(p.mapping(0).filename()) << " " << samples << " " << cpu << " " << p.period() << "\n";
}
"""


class ExportTest(Scratch):
    def setUp(self):
        super().setUp()
        _, self.dump = self.record([program("steady_progress"), "2", "2"])
        self.report = report(self.dump)

    def export(self, *options):
        done = run([TAILBACK, "export", *options, self.dump])
        self.assertEqual(done.status, 0, done.stderr)
        return done.stdout

    def cpu_seconds(self):
        return sum(row["cpu_seconds"] for row in self.report["threads"])

    def test_folded(self):
        by_thread = {}
        for line in self.export("--format", "folded", "--by-thread").decode().splitlines():
            self.assertRegex(line, r"^[^;]+(;[^;]+)* [1-9][0-9]*$")
            stack, value = line.rsplit(" ", 1)
            by_thread[stack.split(";")[0]] = by_thread.get(stack.split(";")[0], 0) + int(value)
        self.assertAlmostEqual(sum(by_thread.values()) / 1e6, self.cpu_seconds(), delta=0.01 * self.cpu_seconds())
        samples = self.export("--format", "folded", "--unit", "samples").decode().splitlines()
        self.assertEqual(sum(int(line.rsplit(" ", 1)[1]) for line in samples), sum(row["samples"] for row in self.report["threads"]))

    def test_pprof_by_a_generated_reader(self):
        with open(self.path("reader.cpp"), "w", encoding="utf-8") as out:
            out.write(READER)
        subprocess.run([find_program("protoc"), "--proto_path=" + SOURCES, "--cpp_out=" + self.folder, os.path.join(SOURCES, "profile.proto")],
                       check=True, timeout=60)
        subprocess.run([find_program("g++"), "-O0", "-I" + self.folder, "-o", self.path("reader"), self.path("reader.cpp"),
                        self.path("profile.pb.cc"), "-lprotobuf", "-pthread"], check=True, timeout=300)
        with open(self.path("profile"), "wb") as out:
            out.write(gzip.decompress(self.export("--format", "pprof")))
        done = run([self.path("reader"), self.path("profile")])
        self.assertEqual(done.status, 0, done.stderr)
        samples, cpu, period_type, default, binary, count, nanoseconds, period = done.stdout.decode().split()
        self.assertEqual((samples, cpu, period_type, default), ("samples/count", "cpu/nanoseconds", "cpu/nanoseconds", "cpu"))
        self.assertEqual(os.path.basename(binary), "steady_progress")
        self.assertEqual(int(count), sum(row["samples"] for row in self.report["threads"]))
        self.assertAlmostEqual(int(nanoseconds) / 1e9, self.cpu_seconds(), delta=0.01 * self.cpu_seconds())
        self.assertGreaterEqual(int(period), 10**9 // 199)

    def test_pprof_by_go(self):
        environment = clean_environment(HOME=self.folder, PPROF_TMPDIR=self.folder)
        go = next(path for path in ("/usr/bin/go", "/usr/lib/go-1.19/bin/go") if os.path.exists(path))
        profile = self.path("profile.pb.gz")
        self.export("--format", "pprof", "-o", profile)

        def pprof(*arguments):
            done = run([go, "tool", "pprof", *arguments], env=environment, cwd=self.folder, timeout=120)
            self.assertEqual(done.status, 0, done.stderr)
            return done.stdout.decode()

        def total_seconds(text):
            total = re.search(r"of ([0-9.]+)(m?s) total", text)
            self.assertIsNotNone(total, text)
            return float(total.group(1)) * (0.001 if total.group(2) == "ms" else 1)

        top = pprof("-top", profile)
        self.assertIn("File: steady_progress", top)
        seconds = total_seconds(top)
        self.assertAlmostEqual(seconds, self.cpu_seconds(), delta=0.02 * self.cpu_seconds())
        twice = pprof("-top", profile, profile)  # merging needs equal types
        self.assertAlmostEqual(total_seconds(twice), 2 * seconds, delta=0.05)
        self.assertRegex(pprof("-top", "-diff_base", profile, profile), r"(?m)^Showing nodes accounting for 0")

    def test_heap(self):
        done, dump = self.record([find_program("sqlite3"), ":memory:", "create table t(a); insert into t values(randomblob(100000)); select length(a) from t"], "--alloc", "exact")
        self.assertEqual(done.status, 0, done.stderr)

        def folded(kind, unit):
            written = run([TAILBACK, "export", "-q", "--format", "folded", "--kind", kind, "--unit", unit, dump])
            self.assertEqual(written.status, 0, written.stderr)
            return sum(int(line.rsplit(" ", 1)[1]) for line in written.stdout.decode().splitlines())

        sums = [folded("allocs", "blocks"), folded("allocs", "bytes"), folded("heap", "blocks"), folded("heap", "bytes")]
        self.assertGreater(sums[1], 100000)
        self.assertGreaterEqual(sums[1], folded("peak", "bytes"))
        profile = gzip.decompress(run([TAILBACK, "export", "-q", "--format", "pprof", "--kind", "heap", dump]).stdout)
        text = subprocess.run([find_program("protoc"), "--proto_path=" + SOURCES, "--decode=perftools.profiles.Profile", os.path.join(SOURCES, "profile.proto")],
                              input=profile, stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
        values = [int(value) for value in re.findall(r"(?m)^  value: (\d+)$", text)]
        self.assertEqual([sum(values[i::4]) for i in range(4)], sums)

    def test_binary_is_not_written_to_a_terminal(self):
        done = run([find_program("script"), "-qec", f"{TAILBACK} export --format pprof {self.dump}", "/dev/null"])
        self.assertEqual(done.status, 2, done.stdout)
        self.assertIn(b"-o profile.pb.gz", done.stdout)


if __name__ == "__main__":
    unittest.main()

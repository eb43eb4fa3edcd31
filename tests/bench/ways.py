# SPDX-License-Identifier: Apache-2.0
"""The ways to run a program that the benchmarks compare: bare, by tailback, by its peers; and the programs. Each run has fresh
output files, which are deleted afterwards; nothing is left running."""
import glob
import os
import random
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sample_data  # noqa: E402
from recording import LIBRARY, TAILBACK, clean_environment, run  # noqa: E402

LIBRARIES = "/usr/lib/x86_64-linux-gnu"


class Way:
    """How to wrap a command: a prefix, an environment ({out} is a fresh path), and what must be there for it."""

    def __init__(self, name, prefix=(), environment=None, needs=()):
        self.name, self.prefix, self.environment, self.needs = name, list(prefix), environment or {}, needs

    def available(self):
        return all(os.path.exists(need) or shutil.which(need) for need in self.needs)

    def command(self, command, out):
        return [word.replace("{out}", out) for word in self.prefix] + list(command)

    def variables(self, out):
        return {name: value.replace("{out}", out) for name, value in self.environment.items()}


BARE = Way("bare")


def tailback(rate=None):
    """`tailback record` without the report, as users run it; all figures include the launcher."""
    options = ["-F", str(rate)] if rate else []
    return Way("tailback" + (f" {rate} Hz" if rate else ""), [TAILBACK, "record", "-q", *options, "-o", "{out}.tbk", "--"], needs=[TAILBACK])


PRELOADED = Way("tailback, preloaded only", environment={"LD_PRELOAD": LIBRARY, "TAILBACK_OUTPUT": "{out}.tbk"}, needs=[LIBRARY])
REPORTING = Way("tailback with report", [TAILBACK, "record", "-o", "{out}.tbk", "--"], needs=[TAILBACK])


def gperftools(rate):
    library = LIBRARIES + "/libprofiler.so.0"
    return Way(f"gperftools {rate} Hz", environment={"LD_PRELOAD": library, "CPUPROFILE": "{out}.prof", "CPUPROFILE_FREQUENCY": str(rate)}, needs=[library])


def perf(rate):
    return Way(f"perf -g {rate} Hz", ["perf", "record", "-q", "--no-bpf-event", "-e", "cpu-clock", "-F", str(rate), "-g", "-o", "{out}.data", "--"], needs=["perf"])


HEAPTRACK = Way("heaptrack", ["heaptrack", "-o", "{out}.heap"], needs=["heaptrack"])
UFTRACE = Way("uftrace", ["uftrace", "record", "--force", "--no-pager", "-d", "{out}.uftrace"], needs=["uftrace"])


class Workload:
    def __init__(self, name, command, stdin=b"", environment=None):
        self.name, self.command, self.stdin, self.environment = name, command, stdin, environment or {}


def cpu_bound_programs(folder, size):
    """Programs as Debian ships them; `size` is about the seconds each runs. xz at its lowest level: the dictionary of the usual one
    lives in the cache that the machine's neighbours share, and runs of the bare program then differ by a third."""
    def file(name, content):
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(content)
        return path

    text = file("text", sample_data.text(20 * size))
    return [
        Workload("xz -0", ["/usr/bin/xz", "-T1", "-0", "-k", "-c", text]),
        Workload("xz -T2", ["/usr/bin/xz", "-T2", "-0", "--block-size=512KiB", "-k", "-c", text]),
        Workload("zstd -12", ["/usr/bin/zstd", "-q", "-12", "--single-thread", "-c", text]),
        Workload("sqlite3", ["/usr/bin/sqlite3", ":memory:"], sample_data.sql(int(3500000 * size))),
        Workload("clang", ["/usr/lib/llvm-14/bin/clang", "-std=c++17", "-fsyntax-only", file("usual.cpp", sample_data.usual_cpp(int(12 * size)))]),
    ]


def deep_recursion(folder, size):
    """A compiler in a deeply nested expression: hundreds of frames."""
    path = os.path.join(folder, "deep.cpp")
    with open(path, "wb") as out:
        out.write(sample_data.deep_expression(200, int(10500 * size)))
    return Workload("clang, deep", ["/usr/lib/llvm-14/bin/clang", "-cc1", "-std=c++17", "-fsyntax-only", "-x", "c++", path])


class Bench:
    """A working folder, and runs in it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tailback-bench-")
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, way, workload, timeout=300, keep=None):
        """A finished run. keep(path prefix of the outputs) is called before they are deleted."""
        self.number += 1
        out = os.path.join(self.folder, f"out{self.number}")
        done = run(way.command(workload.command, out), cwd=self.folder, env=clean_environment(**workload.environment, **way.variables(out)), stdin=workload.stdin, timeout=timeout)
        if done.status != 0:
            raise RuntimeError(f"{workload.name} by {way.name} ended with {done.status}: {done.stderr[-500:].decode(errors='replace')}")
        done.kept = keep(out) if keep else None
        for path in glob.glob(out + "*"):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        return done

    def least(self, workload, ways, groups, rounds, figure):
        """{way name: [least figure of each group]}, bare included: each group runs all ways `rounds` times in mixed order. What a
        neighbour on the machine adds is never negative, so the least of a few runs is nearer to the truth than their mean."""
        everyone = [BARE, *ways]
        result = {way.name: [] for way in everyone}
        for way in everyone:
            self.run(way, workload)  # files and code come into the caches
        mixed = random.Random(0)  # an order that only turns has each way always after the same other, whose heat it inherits
        for _ in range(groups):
            seen = {way.name: [] for way in everyone}
            for _ in range(rounds):
                for way in mixed.sample(everyone, len(everyone)):
                    seen[way.name].append(figure(self.run(way, workload)))
            for name, figures in seen.items():
                result[name].append(min(figures))
        return result

    def pairs(self, workload, ways, count, figure, against=BARE):
        """{way name: [(figure with the way, figure bare), ...]}: each way has a bare run of its own right before or after it, the
        order turns from pair to pair. `against`: what is run instead of bare."""
        result = {way.name: [] for way in ways}
        for way in [against, *ways]:
            self.run(way, workload)  # files and code come into the caches
        for number in range(count):
            for way in ways if number % 2 == 0 else reversed(ways):
                first, second = (against, way) if number % 2 == 0 else (way, against)
                one, two = figure(self.run(first, workload)), figure(self.run(second, workload))
                result[way.name].append((two, one) if number % 2 == 0 else (one, two))
        return result

# SPDX-License-Identifier: Apache-2.0
"""What recording allocations costs: CPU time of a pair of malloc and free, CPU time of programs, sizes of files, memory, and the time
of the report; alternated pairs. Limits: in exact mode 60 ns a pair from one site and 150 ns from changing stacks, a seventh of what
heaptrack adds with one thread and a tenth with eight, 1.25 to 1.5 of bare CPU in real programs, a file no larger than heaptrack's
and a tenth of it where events far outnumber sites, 64 bytes for each live block and 64 MiB; in sampled mode 5 ns a pair and 1.01 of
bare CPU. A profiler that brings an allocator along is compared with that allocator, not with the C library's.

usage: alloc_cost.py [PAIRS [SHARE]]   the tables alone; as a part of run_all.py otherwise"""
import glob
import os
import re
import sys
import time

import intervals
import servers_under_load
import ways

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sample_data  # noqa: E402
from recording import BUILD, TAILBACK, run  # noqa: E402

PROGRAM = os.path.join(BUILD, "tests", "bench", "alloc_bench")
TCMALLOC, JEMALLOC = ways.LIBRARIES + "/libtcmalloc.so.4", ways.LIBRARIES + "/libjemalloc.so.2"


def tailback(mode):
    return ways.Way(f"tailback {mode}", [TAILBACK, "record", "-q", "--alloc", mode, "-o", "{out}.tbk", "--"], needs=[TAILBACK])


SAMPLED, EXACT = tailback("sampled"), tailback("exact")
ON_TCMALLOC = ways.Way("tcmalloc", environment={"LD_PRELOAD": TCMALLOC}, needs=[TCMALLOC])
ON_JEMALLOC = ways.Way("jemalloc", environment={"LD_PRELOAD": JEMALLOC}, needs=[JEMALLOC])
GPERFTOOLS = ways.Way("gperftools heap profiler", needs=[TCMALLOC], environment={
    "LD_PRELOAD": TCMALLOC, "HEAPPROFILE": "{out}.heap", "HEAP_PROFILE_ALLOCATION_INTERVAL": str(1 << 30)})
JEMALLOC_PROFILER = ways.Way("jemalloc profiler", needs=[JEMALLOC], environment={
    "LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "prof:true,prof_final:true,prof_prefix:{out}.jemalloc,lg_prof_sample:19"})


# The interpreter of heaptrack 1.4 ends with bad_alloc on the changing stacks of several threads, and the program with it; its events as
# they come cost the program somewhat less than when they are interpreted while it runs.
HEAPTRACK_UNINTERPRETED = ways.Way("heaptrack -r", ["heaptrack", "-r", "-o", "{out}.heap"], needs=ways.HEAPTRACK.needs)


class Contestant:
    """A way, what it is compared with, and how many pairs it gets through in the time of others."""

    def __init__(self, way, against, share, rounds=None):
        self.way, self.against, self.share, self.rounds = way, against, share, rounds


FEW = 3
CONTESTANTS = [Contestant(SAMPLED, ways.BARE, 1), Contestant(EXACT, ways.BARE, 1), Contestant(ways.HEAPTRACK, ways.BARE, 0.2, FEW),
               Contestant(GPERFTOOLS, ON_TCMALLOC, 0.005, FEW), Contestant(JEMALLOC_PROFILER, ON_JEMALLOC, 1, FEW)]

MICRO = [(kind, threads) for kind in ("site", "stacks") for threads in (1, 2, 8)]
MICRO_PAIRS = 10_000_000
MICRO_NAMES = {"site": "pair from one site", "stacks": "pair from changing stacks"}
ADDED_NS = {("tailback exact", "site"): 60.0, ("tailback exact", "stacks"): 150.0, ("tailback sampled", "site"): 5.0, ("tailback sampled", "stacks"): 5.0}
PART_OF_HEAPTRACK = {1: 1 / 7, 8: 1 / 10}  # threads: what exact mode adds beside what heaptrack adds
PROGRAM_CPU = {"clang": 1.25, "jq": 1.25, "sqlite3": 1.5, "python3": 1.5, "redis-server": 1.5}
SAMPLED_CPU = 1.01
FILE_PART, FILE_PART_MICRO = 1.0, 0.1
ALIVE, ALIVE_LIMIT = 2_000_000, 64.0  # bytes a block, beyond 64 MiB
REPORT_EVENTS, REPORT_SECONDS, REPORT_PART_OF_HEAPTRACK = 100_000_000, 5.0, 0.1


def jemalloc_profiles():
    """Debian's library does, others may be built without it, and say so on stderr."""
    done = run(["/bin/true"], env={"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "prof:true,prof_final:false"})
    return b"prof" not in done.stderr


def usable(contestant):
    """None, or why there are no rows of it."""
    if not contestant.way.available():
        return "not installed"
    if contestant.way is JEMALLOC_PROFILER and not jemalloc_profiles():
        return "this libjemalloc is built without its profiler"
    return None


def contestants():
    """Those that can run here; a word about each that cannot."""
    reasons = {one: usable(one) for one in CONTESTANTS}
    for one, reason in reasons.items():
        if reason:
            print(f"alloc_cost: no rows of {one.way.name}: {reason}", file=sys.stderr)
    return [one for one, reason in reasons.items() if not reason]


def row(what, way, interval, limit=None, digits=3, against=ways.BARE.name, unit=""):
    return {"what": what, "way": way, "against": against, "interval": interval, "limit": limit, "digits": digits, "unit": unit,
            "verdict": intervals.verdict(interval, limit) if limit is not None else ""}


def single(value):
    return intervals.Interval(value, value, value, 1)


def each_ns(done):
    return float(re.search(rb"each_ns ([\d.]+)", done.stdout).group(1))


def file_bytes(out):
    return sum(os.path.getsize(path) for path in glob.glob(out + "*"))


def micro_workload(kind, threads, share):
    return ways.Workload(kind, [PROGRAM, kind, str(threads), str(max(2000, int(MICRO_PAIRS * share)))])


def able_to(one, kind, threads):
    """The way of a contestant that gets through it."""
    return HEAPTRACK_UNINTERPRETED if one.way is ways.HEAPTRACK and kind == "stacks" and threads > 1 else one.way


def micro(bench, kind, threads, everyone, pairs, share):
    """What each adds to a pair, and exact mode beside heaptrack."""
    what, rows, added = f"{MICRO_NAMES[kind]}, {threads} {'threads' if threads > 1 else 'thread'}", [], {}
    for one in everyone:
        way = able_to(one, kind, threads)
        seen = bench.pairs(micro_workload(kind, threads, share * one.share), [way], min(pairs, one.rounds or pairs), each_ns, one.against)[way.name]
        added[one.way] = seen
        rows.append(row(what, way.name, intervals.difference_interval(seen), ADDED_NS.get((way.name, kind)), 1, one.against.name, "ns added"))
        rows.append(row(what, one.against.name, intervals.difference_interval([(bare, 0.0) for _, bare in seen]), None, 1, "", "ns"))
    if EXACT in added and ways.HEAPTRACK in added:
        parts = list(zip(differences(added[EXACT]), differences(added[ways.HEAPTRACK])))
        rows.append(row(what, EXACT.name, intervals.ratio_interval(parts), PART_OF_HEAPTRACK.get(threads), 3, ways.HEAPTRACK.name, "of what it adds"))
    return unique(rows)


def differences(seen):
    """Never nothing: they go into ratios."""
    return [max(with_way - bare, 0.1) for with_way, bare in seen]


def unique(rows):
    """One row of each bare figure: the first."""
    kept = {}
    for one in rows:
        kept.setdefault((one["what"], one["way"], one["unit"], one["against"]), one)
    return list(kept.values())


def programs(folder, size):
    """Programs as Debian ships them that allocate much; `size` is about the seconds each runs."""
    def file(name, content):
        path = os.path.join(folder, f"{size}-{name}")
        with open(path, "wb") as out:
            out.write(content)
        return path

    data = file("data.json", sample_data.json_rows(max(100, int(50000 * size))))
    return [
        ways.Workload("clang", ["/usr/lib/llvm-14/bin/clang", "-std=c++17", "-fsyntax-only", file("usual.cpp", sample_data.usual_cpp(max(1, int(12 * size))))]),
        ways.Workload("python3", ["/usr/bin/python3", file("load.py", sample_data.PYTHON_JSON), data, "4"], environment={"PYTHONMALLOC": "malloc"}),
        ways.Workload("sqlite3", ["/usr/bin/sqlite3", ":memory:"], sample_data.sql_allocating(max(100, int(60000 * size)))),
        ways.Workload("jq", ["/usr/bin/jq", "-c", sample_data.JQ_GROUPS, data]),
    ]


def cpu(done):
    return done.cpu


def cpu_limit(program, way):
    return {EXACT: PROGRAM_CPU.get(program), SAMPLED: SAMPLED_CPU}.get(way)


def program_rows(bench, everyone, pairs, size):
    rows = []
    for one in everyone:
        slow = one.way is GPERFTOOLS  # some ten to thirty times: it gets a part of the work
        for workload in programs(bench.folder, size * 0.1 if slow else size):
            seen = bench.pairs(workload, [one.way], min(pairs, one.rounds or pairs), cpu, one.against)[one.way.name]
            rows.append(row(workload.name, one.way.name, intervals.ratio_interval(seen), cpu_limit(workload.name, one.way), 3, one.against.name, "of its CPU time"))
    return sorted(rows, key=lambda one: one["what"])


def redis_cpu(way, share):
    """CPU seconds of a server from its start to its end, for a number of requests."""
    with servers_under_load.Server(REDIS, way) as server:
        server.seen(share)
    return server.cpu


REDIS = servers_under_load.Redis(16)


def redis_rows(everyone, pairs, share):
    missing, rows = servers_under_load.missing(REDIS), []
    if missing:
        print(f"alloc_cost: no rows of redis-server: {', '.join(missing)} not installed", file=sys.stderr)
        return []
    for one in everyone:
        if one.way in (GPERFTOOLS, JEMALLOC_PROFILER):  # as Debian builds it, the server brings its allocator: no other may come first
            continue
        seen = []
        for number in range(min(pairs, one.rounds or pairs)):
            turn = [one.way, one.against] if number % 2 else [one.against, one.way]
            seconds = {way: redis_cpu(way, share) for way in turn}
            seen.append((seconds[one.way], seconds[one.against]))
        rows.append(row("redis-server", one.way.name, intervals.ratio_interval(seen), cpu_limit("redis-server", one.way), 3, one.against.name, "of its CPU time"))
    return rows


def file_rows(bench, everyone, share, size):
    """KiB that each writes, and exact mode's beside heaptrack's."""
    many = micro_workload("site", 1, share * 0.1)
    many.name = f"{many.command[-1]} pairs from one site"
    rows = []
    for workload in [many, *programs(bench.folder, size)]:
        sizes = {one.way: bench.run(one.way, workload, keep=file_bytes).kept for one in everyone if one.way is not GPERFTOOLS}
        rows += [row(workload.name, way.name, single(size_of / 1024), None, 0, "", "KiB of files") for way, size_of in sizes.items()]
        if EXACT in sizes and ways.HEAPTRACK in sizes:
            part = single(sizes[EXACT] / max(1, sizes[ways.HEAPTRACK]))
            rows.append(row(workload.name, EXACT.name, part, FILE_PART_MICRO if workload is many else FILE_PART, 3, ways.HEAPTRACK.name, "of its files"))
    return rows


def peak(done):
    return done.peak_bytes


def memory_rows(bench, everyone, share):
    """Bytes of peak memory added for each live block, beyond 64 MiB."""
    count = max(10_000, int(ALIVE * share))
    workload = ways.Workload(f"{count} blocks alive", [PROGRAM, "alive", "1", str(count)])
    rows = []
    for one in everyone:
        if one.way is GPERFTOOLS:
            continue
        added = peak(bench.run(one.way, workload)) - peak(bench.run(one.against, workload))
        limit = ALIVE_LIMIT if one.way is EXACT else None
        rows.append(row(workload.name, one.way.name, single((added - (64 << 20 if one.way is EXACT else 0)) / count), limit, 1, one.against.name,
                        "bytes added a block" + (", beyond 64 MiB" if one.way is EXACT else "")))
    return rows


READERS = {EXACT: lambda out: [TAILBACK, "report", "--json", "-", out + ".tbk"],
           ways.HEAPTRACK: lambda out: ["heaptrack_print", "-f", glob.glob(out + "*")[0]]}


def read_seconds(way):
    def timed(out):
        started = time.monotonic()
        done = run(READERS[way](out), timeout=600)
        if done.status != 0:
            raise RuntimeError(f"reading what {way.name} wrote ended with {done.status}: {done.stderr[-500:].decode(errors='replace')}")
        return time.monotonic() - started
    return timed


def report_rows(bench, everyone, share):
    """Seconds that a report takes, for a million events, on what the changing stacks leave."""
    rows, each = [], {}
    for one in (one for one in everyone if one.way in READERS):
        events = max(4000, int(REPORT_EVENTS * share * (1 if one.way is EXACT else 0.02)))
        workload = ways.Workload(f"report on {events} events", [PROGRAM, "stacks", "1", str(events // 2)])
        seconds = bench.run(one.way, workload, timeout=600, keep=read_seconds(one.way)).kept
        each[one.way] = seconds / events
        limit = REPORT_SECONDS if one.way is EXACT and events >= REPORT_EVENTS else None
        rows.append(row(workload.name, one.way.name, single(seconds), limit, 2, "", "s"))
    if len(each) == 2:
        rows.append(row("report, for each event", EXACT.name, single(each[EXACT] / each[ways.HEAPTRACK]), REPORT_PART_OF_HEAPTRACK, 3, ways.HEAPTRACK.name, "of its time"))
    return rows


def measure(pairs, share):
    everyone = contestants()
    with ways.Bench() as bench:
        rows = [one for kind, threads in MICRO for one in micro(bench, kind, threads, everyone, pairs, share)]
        rows += program_rows(bench, everyone, pairs, share)
        rows += redis_rows(everyone, pairs, share)
        rows += file_rows(bench, everyone, share, share)
        rows += memory_rows(bench, everyone, share)
        return rows + report_rows(bench, everyone, share)


def table(rows):
    lines = ["| what | by | value (95 % interval) | beside | pairs | limit | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for one in rows:
        at, digits = one["interval"], one["digits"]
        spread = f" ({at.low:.{digits}f} to {at.high:.{digits}f})" if at.count > 1 else ""
        limit = f"≤ {one['limit']:.{digits}f}" if one["limit"] is not None else ""
        lines.append(f"| {one['what']} | {one['way']} | {at.middle:.{digits}f} {one['unit']}{spread} | {one['against']} | {at.count} | {limit} | {one['verdict']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10, float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)))

# SPDX-License-Identifier: Apache-2.0
"""What a recording adds to calls that may wait, and what servers lose by it: alternated pairs. Limits: 20 ns on a wrapped call that
does not block, 300 ns on one that does; throughput of redis-server, nginx and memcached 0.98 of bare, 99th percentile of their times 1.03. The
tracers of system calls, where installed, in the same table: their rows are of few pairs, as they take so long."""
import os
import re
import subprocess
import sys

import intervals
import servers_under_load
import ways

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from recording import program  # noqa: E402

CALLS = {  # how the program calls it: what it is, how often, the limit in ns
    "read": ("read of a byte from /dev/zero", 2000000, 20.0),
    "write": ("write of a byte to /dev/null", 2000000, 20.0),
    "fstat": ("fstat", 1000000, 20.0),
    "poll": ("poll of nothing", 2000000, 20.0),
    "poll_two": ("poll of two descriptors, a turn of a loop", 1000000, 20.0),
    "epoll": ("epoll_wait that finds one ready, a turn of a loop", 1000000, 20.0),
    "fwrite": ("fwrite of 16 bytes", 10000000, 20.0),
    "ping_pong": ("read of a pipe that blocks", 200000, 300.0),
}
THROUGHPUT, SLOWEST = 0.98, 1.03
PEERS = [
    ways.Way("strace -c", ["strace", "-f", "-c", "-o", "{out}.strace", "--"], needs=["strace"]),
    ways.Way("perf trace -s", ["perf", "trace", "-s", "-o", "{out}.trace", "--"], needs=["perf"]),
    ways.UFTRACE,
]
PEER_SHARE = 0.02  # of the calls: strace needs some 20 us for each


def each_ns(done):
    return float(re.search(rb"each_ns ([\d.]+)", done.stdout).group(1))


def row(what, way, interval, limit, text, verdict):
    verdict = verdict if limit is not None else ""
    return {"what": what, "way": way.name, "interval": interval, "limit": limit, "text": text, "verdict": verdict}


def added(bench, calls, call, way, pairs, share, limited):
    what, count, limit = calls[call]
    workload = ways.Workload(what, [program("io_calls"), call, str(max(1000, int(count * share)))])
    interval = intervals.difference_interval(bench.pairs(workload, [way], pairs, each_ns)[way.name])
    return row(f"{what}, ns added", way, interval, limit if limited else None, f"≤ {limit:.0f}", intervals.verdict(interval, limit))


def served(load, way, pairs, share, limited):
    """Two rows: requests a second, and the time that 99 % of them need, both as parts of bare."""
    seen = servers_under_load.pairs(load, way, pairs, share)
    more = intervals.ratio_interval([(one.requests_per_second, bare.requests_per_second) for one, bare in seen])
    slow = intervals.ratio_interval([(one.p99_ms, bare.p99_ms) for one, bare in seen])
    told = {"throughput": (more, THROUGHPUT, "≥", intervals.verdict_at_least), "p99": (slow, SLOWEST, "≤", intervals.verdict)}
    return [row(f"{load.name}, {what}", way, interval, limit if limited else None, f"{sign} {limit}", verdict(interval, limit))
            for what, (interval, limit, sign, verdict) in told.items()]


def works(bench, way):
    """Installed, and allowed here: tracing may be neither."""
    try:
        return way.available() and bench.run(way, ways.Workload("true", ["/bin/true"])).status == 0
    except RuntimeError as error:
        print(f"io_cost: no rows of {way.name}: {error}", file=sys.stderr)
        return False


def served_or_told(load, way, pairs, share, limited):
    """No rows, and a word about it, when a peer cannot run the server."""
    try:
        return served(load, way, pairs, share, limited)
    except (AssertionError, OSError, IndexError, subprocess.SubprocessError) as error:
        if limited:
            raise
        print(f"io_cost: no row of {load.name} by {way.name}: {error!r}", file=sys.stderr)
        return []


def measure(pairs, share):
    rows = []
    with ways.Bench() as bench:
        peers = [way for way in PEERS if works(bench, way)]
        every_way = [(ways.tailback(), pairs, share, True)] + [(peer, 3, share * PEER_SHARE, False) for peer in peers]
        for call in CALLS:
            rows += [added(bench, CALLS, call, *how) for how in every_way]
    for load in servers_under_load.LOADS:
        missing = servers_under_load.missing(load)
        if missing:
            print(f"io_cost: no rows of {load.name}: {', '.join(missing)} not installed", file=sys.stderr)
            continue
        for way, _, _, limited in every_way:
            rows += served_or_told(load, way, 2 * pairs if limited else 4, share if limited else share * 0.2, limited)
    return rows


def table(rows):
    lines = ["| call or server | recorded by | added, or part of bare (95 % interval) | pairs | limit | |", "| --- | --- | --- | --- | --- | --- |"]
    for one in rows:
        at, digits = one["interval"], 1 if one["what"].endswith("added") else 3
        limit = one["text"] if one["limit"] is not None else ""
        value = f"{at.middle:.{digits}f} ({at.low:.{digits}f} to {at.high:.{digits}f})"
        lines.append(f"| {one['what']} | {one['way']} | {value} | {at.count} | {limit} | {one['verdict']} |")
    return "\n".join(lines)

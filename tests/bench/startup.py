# SPDX-License-Identifier: Apache-2.0
"""Wall time around the shortest program, /bin/true: what start and end of a recording add. Limit: 5 ms without the report."""
import intervals
import ways

LIMIT_MS = 5.0
LIMITED = {"tailback", ways.PRELOADED.name}


def wall_ms(done):
    return 1000 * done.wall


def measure(pairs):
    workload = ways.Workload("true", ["/bin/true"])
    everyone = [ways.tailback(), ways.PRELOADED, ways.REPORTING, ways.gperftools(199), ways.perf(199), ways.HEAPTRACK, ways.UFTRACE]
    rows = []
    with ways.Bench() as bench:
        for way in (way for way in everyone if way.available()):
            slow = way in (ways.HEAPTRACK,) or way.name.startswith("perf")
            measured = bench.pairs(workload, [way], max(3, pairs // 10) if slow else pairs, wall_ms)[way.name]
            interval = intervals.difference_interval(measured)
            limit = LIMIT_MS if way.name in LIMITED else None
            rows.append({"what": way.name, "interval": interval, "limit": limit, "verdict": intervals.verdict(interval, limit) if limit else ""})
    return rows


def table(rows):
    lines = ["| start and end around /bin/true | added, ms (95 % interval) | pairs | limit | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        at, limit = row["interval"], f"≤ {row['limit']:.0f}" if row["limit"] else ""
        lines.append(f"| {row['what']} | {at.middle:.2f} ({at.low:.2f} to {at.high:.2f}) | {at.count} | {limit} | {row['verdict']} |")
    return "\n".join(lines)

# SPDX-License-Identifier: Apache-2.0
"""What being a guest adds to making processes and threads: alternated pairs, wall time of each call. Limits: fork and exit 100 us,
creating and joining a thread 3 us, executing another program 1 ms; a configure run, which does little else, 5 %."""
import os
import re
import sys

import intervals
import ways

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import sample_data  # noqa: E402
from recording import UNPACKED, program  # noqa: E402

CALLS = {"fork": ("fork, exit and wait", 1000, 100.0), "thread": ("create and join a thread", 20000, 3.0), "exec": ("spawn /bin/true and wait", 300, 1000.0)}


def each_us(done):
    return int(re.search(rb"each_ns (\d+)", done.stdout).group(1)) / 1000


def configure(pairs):
    """Rows of a configure run, in per cent of its wall time."""
    rows = []
    for way in (ways.tailback(), ways.PRELOADED):
        measured = []
        for number in range(pairs):
            seen = {}
            for one in ((ways.BARE, way) if number % 2 == 0 else (way, ways.BARE)):
                with ways.Bench() as bench:  # a fresh folder for each
                    script = sample_data.CONFIGURE.format(unpacked=UNPACKED)
                    seen[one.name] = 100 * bench.run(one, ways.Workload("configure", ["/bin/bash", "-c", script])).wall
            measured.append((seen[way.name], seen[ways.BARE.name]))
        interval = intervals.ratio_interval(measured)
        per_cent = intervals.Interval(100 * interval.middle - 100, 100 * interval.low - 100, 100 * interval.high - 100, pairs)
        rows.append({"call": "configure of libltdl, per cent", "what": way.name, "interval": per_cent, "limit": 5.0, "verdict": intervals.verdict(per_cent, 5.0)})
    return rows


def measure(pairs, share):
    rows = configure(max(2, pairs // 2))
    with ways.Bench() as bench:
        for name, (what, count, limit) in CALLS.items():
            workload = ways.Workload(what, [program("guest_calls"), name, str(max(10, int(count * share)))])
            for way in (ways.tailback(), ways.PRELOADED):
                interval = intervals.difference_interval(bench.pairs(workload, [way], pairs, each_us)[way.name])
                rows.append({"call": what, "what": way.name, "interval": interval, "limit": limit, "verdict": intervals.verdict(interval, limit)})
    return rows


def table(rows):
    lines = ["| call | recorded by | added, us unless said (95 % interval) | pairs | limit | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        at = row["interval"]
        lines.append(f"| {row['call']} | {row['what']} | {at.middle:.2f} ({at.low:.2f} to {at.high:.2f}) | {at.count} | ≤ {row['limit']:.0f} | {row['verdict']} |")
    return "\n".join(lines)

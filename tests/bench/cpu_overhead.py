# SPDX-License-Identifier: Apache-2.0
"""CPU time of CPU-bound programs, recorded against bare, and against the peers at the same rate: alternated runs in groups, the
least of each group, 95 % interval of the ratio over the groups. Limits: 1.01 at the default rate, 1.02 at the highest, and no
more than a peer."""
import intervals
import ways

DEFAULT_HZ = 199
HIGHEST_HZ = 10000
ROUNDS = 5  # runs of each way in a group
PERF_GROUPS = 3  # far enough from the rest to be told apart soon
LIMITS = {"tailback": 1.01, f"tailback {HIGHEST_HZ} Hz": 1.02}


def cpu(done):
    return done.cpu


def compare(bench, workload, groups):
    """Rows {what, interval, limit, verdict} of one workload."""
    rounds = ROUNDS if groups > 2 else 1  # two groups prove the harness only
    recorded, peers = [ways.tailback(), ways.tailback(HIGHEST_HZ)], [ways.gperftools(DEFAULT_HZ)]
    perf = ways.perf(DEFAULT_HZ)
    peers = [way for way in peers if way.available()]
    figures = [bench.least(workload, recorded + peers, groups, rounds, cpu)]
    if perf.available():
        figures.append(bench.least(workload, [recorded[0], perf], min(groups, PERF_GROUPS), rounds, cpu))
        peers.append(perf)
    compared = [(way.name, ways.BARE.name, LIMITS.get(way.name)) for way in recorded + peers]
    compared += [(recorded[0].name, peer.name, 1.0) for peer in peers]
    rows = []
    for what, against, limit in compared:
        least = next(one for one in figures if what in one and against in one)
        interval = intervals.ratio_interval(list(zip(least[what], least[against])))
        rows.append({"what": what, "against": against, "interval": interval, "limit": limit, "verdict": intervals.verdict(interval, limit) if limit else ""})
    return rows


def measure(groups, size):
    with ways.Bench() as bench:
        return [{"program": workload.name, **row} for workload in ways.cpu_bound_programs(bench.folder, size) for row in compare(bench, workload, groups)]


def table(rows):
    lines = ["| program | CPU time of | against | ratio (95 % interval) | groups | limit | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        at = row["interval"]
        limit = f"≤ {row['limit']:.2f}" if row["limit"] else ""
        lines.append(f"| {row['program']} | {row['what']} | {row['against']} | {at.middle:.4f} ({at.low:.4f} to {at.high:.4f}) | {at.count} | {limit} | {row['verdict']} |")
    return "\n".join(lines)

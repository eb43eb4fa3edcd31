# SPDX-License-Identifier: Apache-2.0
"""CPU time of CPU-bound programs, recorded against bare, and against the peers at the same rate: alternated pairs, 95 %
interval of the ratio. Limits: 1.01 at the default rate, 1.02 at the highest, and no more than a peer."""
import intervals
import ways

DEFAULT_HZ = 199
HIGHEST_HZ = 10000
LIMITS = {"tailback": 1.01, f"tailback {HIGHEST_HZ} Hz": 1.02}


def cpu(done):
    return done.cpu


def compare(bench, workload, pairs):
    """Rows {what, interval, limit, verdict} of one workload."""
    recorded = [ways.tailback(), ways.tailback(HIGHEST_HZ)]
    peers = [way for way in (ways.gperftools(DEFAULT_HZ), ways.perf(DEFAULT_HZ)) if way.available()]
    measured = bench.pairs(workload, recorded + peers, pairs, cpu)
    rows = []
    for way in recorded + peers:
        interval = intervals.ratio_interval(measured[way.name])
        limit = LIMITS.get(way.name)
        rows.append({"what": way.name, "against": "bare", "interval": interval, "limit": limit, "verdict": intervals.verdict(interval, limit) if limit else ""})
    for peer in peers:
        # Each pair's own bare run takes the machine's mood out; what remains is tailback's ratio over the peer's.
        ratios = [(a / bare_a, b / bare_b) for (a, bare_a), (b, bare_b) in zip(measured["tailback"], measured[peer.name])]
        interval = intervals.ratio_interval(ratios)
        rows.append({"what": "tailback", "against": peer.name, "interval": interval, "limit": 1.0, "verdict": intervals.verdict(interval, 1.0)})
    return rows


def measure(pairs, size):
    with ways.Bench() as bench:
        return [{"program": workload.name, **row} for workload in ways.cpu_bound_programs(bench.folder, size) for row in compare(bench, workload, pairs)]


def table(rows):
    lines = ["| program | CPU time of | against | ratio (95 % interval) | pairs | limit | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        at = row["interval"]
        limit = f"≤ {row['limit']:.2f}" if row["limit"] else ""
        lines.append(f"| {row['program']} | {row['what']} | {row['against']} | {at.middle:.4f} ({at.low:.4f} to {at.high:.4f}) | {at.count} | {limit} | {row['verdict']} |")
    return "\n".join(lines)

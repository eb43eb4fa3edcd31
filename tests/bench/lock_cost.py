# SPDX-License-Identifier: Apache-2.0
"""What hooks add to locks that nobody waits for, and to handing a lock over; checkers of lock order and tracers beside it."""
import io_cost
import intervals
import ways
from recording import program

LOCKS = {  # how the program calls it: what it is, how often, the limit in ns
    "mutex": ("mutex, lock and unlock", 20000000, 5.0),
    "mutex_alone": ("mutex in a process without threads", 20000000, 5.0),
    "two_mutexes": ("mutex inside another, lock and unlock", 20000000, 10.0),
    "read_lock": ("read-write lock, for reading", 20000000, 8.0),
    "write_lock": ("read-write lock, for writing", 20000000, 8.0),
    "spin_lock": ("spin lock", 20000000, 5.0),
    "semaphore": ("semaphore, post and wait", 20000000, 8.0),
    "signal": ("signal to a condition that nobody waits for", 20000000, 8.0),
    "turns": ("mutex and condition between two threads that take turns", 200000, 300.0),
}
SERVED, REQUESTS, THROUGHPUT = "2 threads, each with 30,000 requests a second that take a common lock, throughput", 150000, 0.98
PEERS = [
    ways.UFTRACE,
    ways.Way("valgrind --tool=helgrind", ["valgrind", "--tool=helgrind", "--log-file={out}.helgrind"], needs=["valgrind"]),
    ways.Way("valgrind --tool=drd", ["valgrind", "--tool=drd", "--log-file={out}.drd"], needs=["valgrind"]),
]
PEER_SHARE = 0.005  # of the calls


def served(bench, way, pairs, share, limited):
    workload = ways.Workload(SERVED, [program("io_calls"), "serve", str(max(1000, int(REQUESTS * share)))])
    seen = bench.pairs(workload, [way], pairs, lambda done: 1 / io_cost.each_ns(done))[way.name]
    interval = intervals.ratio_interval(seen)
    return io_cost.row(SERVED, way, interval, THROUGHPUT if limited else None, f"≥ {THROUGHPUT}", intervals.verdict_at_least(interval, THROUGHPUT))


def measure(pairs, share):
    rows = []
    with ways.Bench() as bench:
        ways_to_run = [(ways.tailback(), pairs, share, True)] + [(peer, 3, share * PEER_SHARE, False) for peer in PEERS if io_cost.works(bench, peer)]
        for call in LOCKS:
            rows += [io_cost.added(bench, LOCKS, call, *how) for how in ways_to_run]
        rows += [served(bench, *how) for how in ways_to_run]
    return rows


table = io_cost.table

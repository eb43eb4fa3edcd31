# SPDX-License-Identifier: Apache-2.0
"""Share of the sampled CPU time whose stack reaches the root of its thread, on programs as Debian ships them, judged by a reader
that shares nothing with the product but the schema (tests/support/raw_records.py). Limit: 99.9 %."""
import os
import subprocess
import sys
import time

import ways

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import raw_records  # noqa: E402
import sample_data  # noqa: E402
from recording import clean_environment, find_program, record_command, run, wait  # noqa: E402

LIMIT = 0.999


def programs(bench, size):
    script = os.path.join(bench.folder, "work.py")
    with open(script, "wb") as out:
        out.write(sample_data.python_script(int(1000000 * size)))
    return ways.cpu_bound_programs(bench.folder, size) + [
        ways.deep_recursion(bench.folder, size),
        ways.Workload("python3", ["/usr/bin/python3", script]),
        ways.Workload("jq", ["/usr/bin/jq", "group_by(.name) | map(length)"], sample_data.json_rows(int(100000 * size))),
    ]


def share_of(bench, workload):
    return bench.run(ways.tailback(), workload, keep=lambda out: raw_records.complete_share(out + ".tbk")).kept


def share_of_server(bench, size):
    """redis-server under load, through a socket in the working folder."""
    server, socket, dump = (os.path.join(bench.folder, name) for name in ("redis-server", "socket", "redis.tbk"))
    os.symlink(find_program("redis-check-rdb"), server)  # the server is this binary under another name
    process = subprocess.Popen(record_command([server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", bench.folder], "-o", dump),
                               env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 20
    while not os.path.exists(socket) and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        run([find_program("redis-benchmark"), "-s", socket, "-n", str(int(150000 * size)), "-r", "20000", "-t", "set,get,lpush,zadd", "-q", "-P", "8"], timeout=300)
    finally:
        run([find_program("redis-cli"), "-s", socket, "shutdown", "nosave"])
        wait(process, 30)
    return raw_records.complete_share(dump)


def measure(size):
    with ways.Bench() as bench:
        shares = [(workload.name, share_of(bench, workload)) for workload in programs(bench, size)]
        shares.append(("redis-server", share_of_server(bench, size)))
    return [{"program": name, "samples": share.samples, "complete": share.complete, "deepest": share.deepest, "examples": share.examples,
             "limit": LIMIT, "verdict": "met" if share.complete >= LIMIT else "not met"} for name, share in shares]


def table(rows):
    lines = ["| program | samples | complete stacks | deepest | limit | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        lines.append(f"| {row['program']} | {row['samples']} | {100 * row['complete']:.2f} % | {row['deepest']} | ≥ 99.9 % | {row['verdict']} |")
    return "\n".join(lines)

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Predicted beside measured gain on programs that none of us wrote.

Each pair is one real program doing the same work in a slow and in a better way, which is what the suggestion for the slow one says. Both run
bare in turns; the slow one is recorded once. The planted pairs have a table of their own (tests/workloads/accuracy.py).

usage: gain_accuracy.py [--repeat N] [--only NAME] [--write]      --write puts the table into docs/accuracy.md
"""
import argparse
import contextlib
import glob
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import page  # noqa: E402
import recording  # noqa: E402
import servers_under_load  # noqa: E402
from servers_under_load import servers  # noqa: E402

BOUND = 120  # seconds
ROWS = 400
REQUESTS = 20_000
DEVICES, PAGES = 20, 9000

PYTHON_WORK = """
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
def count(n):
    total = 0
    for i in range(n): total += i * i
    return total
if __name__ == "__main__":
    with (ThreadPoolExecutor if sys.argv[1] == "threads" else ProcessPoolExecutor)(2) as pool:
        print(sum(pool.map(count, [8_000_000] * 2)))
"""

NODE_READS = """
const fs = require('fs'), devices = process.argv.slice(2).map(Number);
let left = 0, empty = 0;
for (let round = 0; round < 16; ++round)
  for (const device of devices) {
    ++left;
    fs.read(device, Buffer.alloc(100), 0, 100, null, (error) => { empty += error && error.code == 'EAGAIN'; if (--left == 0) console.log(empty, 'reads without data'); });
  }
"""


class Pair:
    """name, the change, and run(folder, better, environment) -> seconds of the work. `rule`: of the suggestion that means this change, where
    another one may well come first."""

    def __init__(self, name, change, run, rule=None):
        self.name, self.change, self.run, self.rule = name, change, run, rule


def timed(command, folder, environment, stdin=b"", pass_fds=()):
    done = recording.run(command, cwd=folder, env=environment, stdin=stdin, timeout=BOUND, pass_fds=pass_fds)
    if done.status != 0:
        raise SystemExit(f"{command[0]}: status {done.status}: {done.stderr.decode(errors='replace')[-500:]}")
    return done.wall


def sqlite(folder, better, environment):
    database = os.path.join(folder, "rows.db")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(database)
    inserts = "".join(f"insert into rows values({i}, 'row {i}');\n" for i in range(ROWS))
    text = "create table rows(id integer, text);\n" + (f"begin;\n{inserts}commit;\n" if better else inserts)
    return timed([recording.find_program("sqlite3"), database], folder, environment, text.encode())


def xz(folder, better, environment):
    path = os.path.join(folder, "numbers")
    if not os.path.exists(path):
        source = random.Random(1)
        with open(path, "wb") as file:
            file.write(b"".join(b"%d %d\n" % (i, source.randrange(100000)) for i in range(1_200_000)))
    return timed([recording.find_program("xz"), "-k", "-c", "-2", "--block-size=1MiB", "-T2" if better else "-T1", path], folder, environment)


def python(folder, better, environment):
    script = os.path.join(folder, "work.py")
    with open(script, "w", encoding="utf-8") as file:
        file.write(PYTHON_WORK)
    return timed(["/usr/bin/python3", script, "processes" if better else "threads"], folder, environment)


def redis(folder, better, environment):
    server, socket = os.path.join(folder, "redis-server"), os.path.join(folder, "socket")
    if not os.path.exists(server):
        os.symlink(recording.find_program("redis-check-rdb"), server)  # the server is this binary under another name
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket)
    shutil.rmtree(os.path.join(folder, "appendonlydir"), ignore_errors=True)
    command = [server, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", "no" if better else "always"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while not os.path.exists(socket):
                time.sleep(0.01)
            return timed([recording.find_program("redis-benchmark"), "-s", socket, "-q", "-t", "set", "-c", "8", "-n", str(REQUESTS)], folder, recording.clean_environment())
        finally:
            process.terminate()
            process.wait(timeout=BOUND)


def node(folder, better, environment):
    """Reads by libuv's pool, each of which takes 20 ms and then says that there was nothing."""
    script = os.path.join(folder, "read.js")
    with open(script, "w", encoding="ascii") as file:
        file.write(NODE_READS)
    ends = [end for _ in range(DEVICES) for end in socket.socketpair()]
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 20_000))
    try:
        return timed([recording.find_program("node"), script, *(str(end.fileno()) for end in ends[::2])], folder, {**environment, "UV_THREADPOOL_SIZE": "16" if better else "4"},
                     pass_fds=[end.fileno() for end in ends])
    finally:
        for end in ends:
            end.close()


def nginx(folder, better, environment):
    """Pages compressed anew for each request: the workers' CPU time is the limit."""
    port = servers.free_port()
    load = servers_under_load.Nginx(workers=2 if better else 1, settings="gzip on; gzip_comp_level 6; gzip_types *; gzip_http_version 1.0;", page_lines=3000)
    with subprocess.Popen(load.command(folder, port), cwd=folder, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            servers.wait_for_port(port, server)
            return timed([recording.find_program("ab"), "-q", "-c", "8", "-n", str(PAGES), "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{port}/page"], folder,
                         recording.clean_environment())
        finally:
            load.end(server, port, folder)
            server.wait(timeout=BOUND)


PAIRS = [Pair("sqlite3, 400 inserts", "one transaction instead of 400", sqlite), Pair("redis, appendfsync always", "appendfsync no", redis),
         Pair("xz -T1", "xz -T2", xz),
         Pair("node, four pool threads that wait for devices", "UV_THREADPOOL_SIZE=16", node),
         Pair("nginx, one worker that compresses", "two workers", nginx, "cpu-single-threaded"),
         Pair("python3, two threads that compute", "two processes", python)]


def measure(pair, repeat):
    with tempfile.TemporaryDirectory() as folder:
        seconds = {False: [], True: []}
        for _ in range(repeat):
            for better, results in seconds.items():
                results.append(pair.run(folder, better, recording.clean_environment()))
        dump = os.path.join(folder, "slow.tbk")
        pair.run(folder, False, recording.preload_environment(dump))
        findings = recording.report(sorted(glob.glob(dump + "*")))["findings"]
    if not findings:
        findings = [{"rule": "none", "severity": "info", "gain": {"metric": "wall_time", "fraction": 0, "low": 0, "high": 0}}]
    told = next((finding for finding in findings if finding["rule"] == pair.rule), findings[0])
    return {"told": told, "measured": 1 - statistics.median(seconds[True]) / statistics.median(seconds[False])}


def table(rows):
    lines = ["| program | change | suggestion | metric | predicted (bounds) | measured |", "| --- | --- | --- | --- | --- | --- |"]
    for pair, row in rows:
        gain, place = row["told"]["gain"], "" if row["told"].get("rank", 1) == 1 else f", number {row['told']['rank']}"
        lines.append(f"| {pair.name} | {pair.change} | {row['told']['rule']} ({row['told']['severity']}{place}) | {gain['metric']} | "
                     f"{gain['fraction']:.2f} ({gain['low']:.2f} to {gain['high']:.2f}) | {row['measured']:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", action="append")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = [(pair, measure(pair, options.repeat)) for pair in PAIRS if not options.only or any(name in pair.name for name in options.only)]
    if not rows:
        parser.error("no such pair")
    print(table(rows), end="")
    if options.write:
        page.write("accuracy.md", "real", table(rows).strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())

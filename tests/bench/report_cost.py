#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Time and peak memory of `tailback report` on a large synthetic dump, against limits. Medians over the repeats.

Exit status 0 when both limits are met, 1 when not. Memory is the peak resident set of the process as the kernel counted it.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time


def run_once(tailback, dump):
    """(seconds, MiB, stdout) of one report."""
    started = time.monotonic()
    process = subprocess.Popen([tailback, "report", dump], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        sys.exit(f"tailback report ended with status {status}")
    return seconds, usage.ru_maxrss / 1024, text.decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", required=True)
    parser.add_argument("--tailback", required=True)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--mebibytes", type=float, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailback-report-") as folder:
        dump = os.path.join(folder, "large.tbk")
        subprocess.run([options.generator, dump, str(options.samples), str(options.nodes)], check=True)
        size = os.path.getsize(dump) / 2**20
        runs = [run_once(options.tailback, dump) for _ in range(options.repeats)]
    seconds = statistics.median(run[0] for run in runs)
    memory = max(run[1] for run in runs)
    if f"{options.samples} samples" not in runs[0][2].replace("\n    ", " "):
        sys.exit("the report does not account for every sample")
    met = seconds <= options.seconds and memory <= options.mebibytes
    print(f"report on {options.samples} samples, {options.nodes} stack nodes, {size:.0f} MiB: {seconds:.2f} s "
          f"(limit {options.seconds:g}), {memory:.0f} MiB (limit {options.mebibytes:g}): {'met' if met else 'NOT MET'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

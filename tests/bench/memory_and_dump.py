# SPDX-License-Identifier: Apache-2.0
"""What a recording takes of memory and disk. Limits: 16 MiB resident and 64 KiB for each live thread; 2 MiB of dump a minute for
eight busy threads, detailed windows on top."""
import os
import re
import sys

import ways

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from recording import program  # noqa: E402

MEBIBYTE = 1 << 20


def resident(done):
    return int(re.search(rb"resident_bytes (\d+)", done.stdout).group(1))


def memory(threads):
    workload = ways.Workload(f"{threads} threads", [program("waiting_threads"), str(threads)])
    with ways.Bench() as bench:
        added = resident(bench.run(ways.tailback(), workload)) - resident(bench.run(ways.BARE, workload))
    return {"what": f"resident memory added, {threads} threads, MiB", "value": added / MEBIBYTE, "limit": 16 + threads / 16}


def dump(seconds):
    workload = ways.Workload("eight busy threads", [program("steady_progress"), "8", str(seconds)])
    with ways.Bench() as bench:
        size = bench.run(ways.tailback(), workload, keep=lambda out: os.path.getsize(out + ".tbk")).kept
    return {"what": f"dump of 8 busy threads, MiB a minute (from {seconds} s)", "value": size / MEBIBYTE * 60 / seconds, "limit": 2.0}


def measure(size):
    rows = [memory(1), memory(100), memory(1000), dump(max(4, int(60 * size)))]
    return [{**row, "verdict": "met" if row["value"] <= row["limit"] else "not met"} for row in rows]


def table(rows):
    lines = ["| | value | limit | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row['what']} | {row['value']:.2f} | ≤ {row['limit']:.2f} | {row['verdict']} |" for row in rows]
    return "\n".join(lines)

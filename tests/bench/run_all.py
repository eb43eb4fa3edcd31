#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks and writes their tables into docs/performance.md (each between its marks) and, on request, all figures as JSON.

usage: tests/bench/run_all.py [--build DIR] [--only NAME,...] [--pairs N] [--size SECONDS] [--json FILE] [--write] [--short]
       names: cpu_overhead, startup, stacks_complete, memory_and_dump, guest_cost, io_cost, lock_cost, sentinel_cost, parts, alloc_cost
Without --write the tables go to stdout. Exit status 1 when a benchmark fails to run; a limit that is not met is told, not failed.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support")]
import page  # noqa: E402

TITLES = {"cpu_overhead": "CPU time", "startup": "Start and end", "stacks_complete": "Stacks complete to the thread's root",
          "memory_and_dump": "Memory and dump", "guest_cost": "Being a guest", "io_cost": "Waiting and I/O", "lock_cost": "Locks", "sentinel_cost": "The agent's thread",
          "parts": "Single parts", "alloc_cost": "Allocations"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--only", default=",".join(TITLES))
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--size", type=float, default=2.0, help="seconds that each CPU-bound program runs, about")
    parser.add_argument("--json")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--short", action="store_true", help="does everything once, on the smallest inputs: proves the harness only")
    chosen = parser.parse_args()
    if chosen.short:
        chosen.pairs, chosen.size = 2, 0.05
    return chosen


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as source:
        model = re.search(r"model name\s*:\s*(.*)", source.read())
    return f"{os.cpu_count()} CPUs ({model.group(1) if model else platform.machine()}), Linux {platform.release()}, load {os.getloadavg()[0]:.2f} at the start"


PARTS = {"bench_symbols": ["--short"], "unwind_bench": ["1"], "unwind_bench_libunwind": ["1"]}  # program: arguments of the short form


def run_parts(build, short):
    """The benchmark programs of single parts print their own lines."""
    rows = []
    for name, short_arguments in PARTS.items():
        program = os.path.join(build, "tests", "bench", name)
        done = subprocess.run([program, *(short_arguments if short else [])], capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-500:]}")
        rows.append({"program": name, "output": done.stdout.strip()})
    return rows


def parts_table(rows):
    return "\n\n".join(f"`{row['program']}`\n\n```\n{row['output']}\n```" for row in rows)


def run_one(name, chosen):
    if name == "parts":
        rows = run_parts(chosen.build, chosen.short)
        return rows, parts_table(rows)
    module = __import__(name)
    if name == "cpu_overhead":
        rows = module.measure(max(2, chosen.pairs // 2), chosen.size)
    elif name == "startup":
        rows = module.measure(3 if chosen.short else 10 * chosen.pairs)
    elif name == "sentinel_cost":
        rows = module.measure(0.5 if chosen.short else 10)
    elif name in ("guest_cost", "io_cost", "lock_cost", "alloc_cost"):
        rows = module.measure(2 if chosen.short else chosen.pairs, 0.02 if chosen.short else 1)
    else:
        rows = module.measure(chosen.size if name == "stacks_complete" else min(1.0, chosen.size))
    return rows, module.table(rows)


def main():
    chosen = arguments()
    os.environ["TAILBACK_BUILD_DIR"] = os.path.abspath(chosen.build)
    unknown = set(chosen.only.split(",")) - set(TITLES)
    if unknown:
        sys.exit(f"run_all.py: there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(TITLES)}")
    figures, failed = {}, []
    for name in chosen.only.split(","):
        started, head = time.monotonic(), f"{time.strftime('%Y-%m-%d')}, {machine()}."
        try:
            figures[name], text = run_one(name, chosen)
            if chosen.write:  # each at once: a run takes the better part of an hour
                page.write("performance.md", name, f"{head}\n\n{text}")
        except Exception as error:  # the figures of the others are worth keeping, whatever it was
            failed.append(name)
            print(f"run_all.py: {name}: {error!r}", file=sys.stderr)
            continue
        if not chosen.write:
            print(f"### {TITLES[name]}\n\n{head}\n\n{text}\n", flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as out:
            json.dump(figures, out, indent=1, default=lambda value: value.as_dict())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

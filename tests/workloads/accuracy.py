#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Predicted beside measured gain for each planted bottleneck.

Runs each workload bare, bad and fixed alternately, records one run of either, and compares gain.fraction of the first
suggestion for bad with 1 - fixed/bad of the metric it names. Wall times need a machine with two idle CPUs: where other
programs take them, dividing work over threads gains nothing. The load is printed beside the table. Also says what must hold: the right rule is first with the
right function, nothing above low of that rule for fixed, nothing above low for programs with nothing to fix.

A neighbour on a shared machine can take a CPU away in the one run that is recorded; --attempts measures a workload again when
something did not hold, and says so. A fault of a rule stays a fault in every attempt.

usage: accuracy.py --tailback PATH --workloads DIR [--repeat N] [--attempts N] [--only NAME] [--memory] [--locks] [--pools] [--pauses] [--write] [--json FILE]
       --memory runs the memory pairs too, --locks the pairs about locks, --pools those about thread pools, --pauses those about pauses
       --write puts the table into docs/accuracy.md, between its marks
Exit status: 0 when all of that holds, 1 otherwise, 2 for wrong usage.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import page  # noqa: E402

PLANTED = {  # workload: rule that must come first, functions any of which is the right one
    "busy_wait": ("cpu-spin", {"poll_for_batch"}),
    "quadratic_scan": ("cpu-hotspot", {"already_seen", "count_by_list"}),
    "regex_in_loop": ("cpu-hotspot", {"is_setting"}),
    "thread_per_request": ("thread-churn", {"serve_with_threads"}),
    "uneven_split": ("cpu-load-imbalance", {"process_row", "split_by_count"}),
    "busy_stage": ("cpu-single-threaded", {"decode_item"}),
    "oversubscribed": ("cpu-oversubscription", {"run_job"}),
    "string_copies": ("cpu-hotspot", {"field_copied"}),
    "iostream_formatting": ("cpu-hotspot", {"format_row"}),
    "exceptions_in_loop": ("cpu-hotspot", {"parse_or_throw", "sum_with_exceptions"}),
    "flush_per_record": ("io-sync-flush", {"make_durable", "keep_log"}),
    "unbuffered_writes": ("io-small-operations", {"write_piece", "write_by_piece"}),
    "flush_per_line": ("io-small-operations", {"print_line_and_flush"}),
    "reread_settings": ("io-repeated-read", {"read_settings", "serve_rereading"}),
    "sleep_polling": ("sleep-polling", {"look_for_result"}),
    "connection_per_request": ("net-connection-churn", {"ask_over_new_connection", "connect_to"}),
    "delayed_ack": ("net-delayed-ack", {"send_in_two_writes"}),
    "slow_backend": ("net-slow-peer", {"ask_all"}),
    "blocking_read_in_loop": ("io-blocking", {"read_block"}),
    "blocked_loop": ("event-loop-blocked", {"compute_statement", "serve_on_loop"}),
    "loop_behind_lock": ("event-loop-blocked", {"change_row", "serve_waiting"}),
}
CLEAN = ("clean_pipeline", "clean_server", "clean_echo_server", "clean_worker_pool")
PLANTED_MEMORY = {  # run with --memory
    "leak_on_error_path": ("memory-leak", {"read_request", "handle_with_early_return"}),
    "cache_never_evicts": ("memory-growth", {"remember_page"}),
    "free_every_other": ("memory-fragmentation", {"add_entry", "read_record", "build_index"}),
    "short_peak": ("memory-peak", {"export_whole_document"}),
    "temporaries_in_parser": ("memory-temporary-allocations", {"parse_into_strings"}),
    "vector_without_reserve": ("memory-realloc-growth", {"split_row", "make_room", "append_piece"}),
    "hot_allocation_site": ("memory-allocation-hotspot", {"new_order"}),
    "buffer_per_request": ("memory-page-fault-storm", {"answer_with_new_picture", "draw"}),
    "arena_fight": ("memory-allocator-contention", {"new_message", "produce_batch", "free_batch"}),
}
CLEAN_MEMORY = ("clean_allocator",)
PLANTED_LOCKS = {  # run with --locks
    "lock_parse": ("lock-contention", {"add_text"}),
    "rust_mutex": ("lock-contention", {"add_text"}),
    "lock_fdatasync": ("lock-long-hold", {"append_and_flush"}),
    "deadlock_abba": ("deadlock", {"sell", "take_delivery"}),
    "lock_cycle": ("lock-order-inversion", {"move_goods"}),
    "hot_rwlock": ("lock-overuse", {"hop_under_lock"}),
    "notify_all": ("lock-wake-storm", {"push_and_wake_all"}),
}
CLEAN_LOCKS = ("clean_locks",)
PLANTED_POOLS = {  # run with --pools
    "small_pool": ("pool-saturated", {"look_up_price", "ask"}),
    "nested_tasks": ("pool-deadlock", {"price_order"}),
    "large_pool": ("pool-oversized", {"serve", "WorkerPool"}),
    "worker_by_key": ("pool-imbalance", {"render_invoice", "ask"}),
    "blocking_task": ("pool-blocking-task", {"fetch_profile", "ask"}),
    "tasks_in_bursts": ("task-queue-wait", {"encode_part"}),
}
PLANTED_PAUSES = {  # run with --pauses
    "fork_of_big_process": ("pause", {"run_by_fork"}),
    "mass_free": ("pause", {"replace_and_free"}),
    "trim_in_server": ("pause", {"give_back_memory"}),
    "reload_by_pages": ("pause", {"fill", "reload_in_new_memory"}),
    "checkpoint_in_server": ("pause", {"save_state"}),
}
ALL_PLANTED = {**PLANTED, **PLANTED_MEMORY, **PLANTED_LOCKS, **PLANTED_POOLS, **PLANTED_PAUSES}
FIGURE = {"wall_time": "wall", "cpu_time": "cpu", "latency": "latency", "memory": "resident"}  # metric of a gain: what the workload prints
PEAK_RULES = {"memory-peak", "pool-oversized"}  # whose memory is that of the peak, not that in the end
FIGURES = ("wall", "cpu", "latency", "resident", "peak")
SEVERITIES = ["info", "low", "medium", "high", "critical"]
TIMEOUT = 120


def figures_of(output):
    pairs = (word.split("=", 1) for word in output.split() if "=" in word)
    return {name: value if name in ("variant", "checksum") else float(value) for name, value in pairs}


def run_bare(program, variant):
    return figures_of(subprocess.run([program, variant], check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout)


def record(tailback, program, variant, folder):
    dump, report = os.path.join(folder, f"{variant}.tbk"), os.path.join(folder, f"{variant}.json")
    subprocess.run([tailback, "record", "--quiet", "--force", "-o", dump, "--", program, variant], check=True, capture_output=True, timeout=TIMEOUT)
    subprocess.run([tailback, "report", "--json", report, dump], check=True, capture_output=True, timeout=TIMEOUT)
    with open(report, encoding="utf-8") as file:
        return json.load(file)


def above_low(report, rule=None):
    """Findings that contradict "nothing to fix"; a cpu-hotspot may be medium unless its own rule is asked for."""
    allowed = {"cpu-hotspot": "medium"}
    limit = lambda finding: SEVERITIES.index(allowed.get(finding["rule"], "low"))
    return [f for f in report["findings"] if (rule is None or f["rule"] == rule) and SEVERITIES.index(f["severity"]) > limit(f)]


def names(function):
    """The bare name: without scopes, template arguments and parameters."""
    bare = function.replace("(anonymous namespace)::", "")
    return re.split(r"[<( ]", bare, maxsplit=1)[0].split("::")[-1]


def measure_pair(tailback, program, repeat, folder):
    runs = {"bad": [], "fixed": []}
    for _ in range(repeat):
        for variant, results in runs.items():
            results.append(run_bare(program, variant))
    medians = {variant: {figure: statistics.median(run[figure] for run in results) for figure in FIGURES} for variant, results in runs.items()}
    same = len({run["checksum"] for results in runs.values() for run in results}) == 1
    return medians, same, {variant: record(tailback, program, variant, folder) for variant in runs}


def figure_of(finding):
    """Name of the figure that a gain is a part of."""
    metric = finding["gain"]["metric"]
    return "peak" if metric == "memory" and finding["rule"] in PEAK_RULES else FIGURE.get(metric, "wall")


def check_planted(name, options, folder):
    rule, functions = ALL_PLANTED[name]
    medians, same, reports = measure_pair(options.tailback, os.path.join(options.workloads, f"workload_{name}"), options.repeat, folder)
    findings = reports["bad"]["findings"]
    first = findings[0] if findings else {"rule": "none", "severity": "info", "culprit": {}, "gain": {"metric": "wall_time", "fraction": 0, "low": 0, "high": 0}}
    figure = figure_of(first)
    problems = []
    if not same:
        problems.append("bad and fixed do different work")
    if first["rule"] != rule:
        problems.append(f"first is {first['rule']}, not {rule}")
    if names(first["culprit"].get("function", "")) not in functions:
        problems.append(f"culprit is {first['culprit'].get('function')}")
    if SEVERITIES.index(first["severity"]) < SEVERITIES.index("medium"):
        problems.append(f"only {first['severity']}")
    problems += [f"fixed: {f['severity']} {f['rule']}: {f['title']}" for f in above_low(reports["fixed"], rule)]
    measured = 1 - medians["fixed"][figure] / medians["bad"][figure] if medians["bad"][figure] else 0
    gain = first["gain"]
    return {"workload": name, "rule": first["rule"], "severity": first["severity"], "function": first["culprit"].get("function", ""), "metric": gain["metric"],
            "predicted": gain["fraction"], "low": gain["low"], "high": gain["high"], "measured": measured, "problems": problems}


def check_clean(name, options, folder):
    report = record(options.tailback, os.path.join(options.workloads, f"workload_{name}"), "fixed", folder)
    return {"workload": name, "rule": "nothing to fix", "problems": [f"{f['severity']} {f['rule']}: {f['title']}" for f in above_low(report)]}


def check(name, options):
    """The first attempt at which all held, else the last one."""
    for attempt in range(1, options.attempts + 1):
        with tempfile.TemporaryDirectory() as folder:
            row = check_planted(name, options, folder) if name in ALL_PLANTED else check_clean(name, options, folder)
        print(table([row]).splitlines()[-1], f"(attempt {attempt} of {options.attempts}, load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
        if not row["problems"]:
            break
    return row


def table(rows):
    lines = ["| workload | first suggestion | function | metric | predicted (bounds) | measured | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        verdict = "; ".join(row["problems"]) or "as it should be"
        if "predicted" in row:
            predicted = f"{row['predicted']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
            lines.append(f"| {row['workload']} | {row['rule']} ({row['severity']}) | `{names(row['function'])}` | {row['metric']} | {predicted} | {row['measured']:.2f} | {verdict} |")
        else:
            lines.append(f"| {row['workload']} | {row['rule']} | | | | | {verdict} |")
    return "\n".join(lines) + "\n"


def chosen(options):
    """Names of the workloads to run."""
    memory, locks = [*PLANTED_MEMORY, *CLEAN_MEMORY], [*PLANTED_LOCKS, *CLEAN_LOCKS]
    if options.only:
        return [name for name in [*PLANTED, *CLEAN, *memory, *locks, *PLANTED_POOLS, *PLANTED_PAUSES] if name in options.only]
    return [*PLANTED, *CLEAN, *(memory if options.memory else []), *(locks if options.locks else []), *(PLANTED_POOLS if options.pools else []), *(PLANTED_PAUSES if options.pauses else [])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tailback", required=True)
    parser.add_argument("--workloads", required=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=1)
    parser.add_argument("--only", action="append")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--locks", action="store_true")
    parser.add_argument("--pools", action="store_true")
    parser.add_argument("--pauses", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    for name in chosen(options):
        rows.append(check(name, options))
    if not rows:
        parser.error("no such workload")
    print(table(rows), end="")
    print(f"\nload average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    if options.write:
        page.write("accuracy.md", "table", table(rows).strip())
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 1 if any(row["problems"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

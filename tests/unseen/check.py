#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Are the first suggestions right for programs that the rules were not written with?

The programs here were written by somebody who did not know the rules, with what is wrong in each (expected.json). Each is recorded bad and
fixed. Right is a program whose first suggestion has one of the rules and one of the functions that name its fault; a false alarm is
anything above low in a program without a fault, and of the fault's rule in a fixed twin (a hot spot may be medium: programs are there to
compute).

usage: check.py --build DIR [--only NAME] [--write]     DIR: a build folder; --write puts the table into docs/accuracy.md
Exit status: 0 when all is right, 1 otherwise, 2 for wrong usage.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import page  # noqa: E402

LOW = ("info", "low")
TIMEOUT = 60


def names(function):
    """The bare name: without scopes, template arguments and parameters."""
    bare, before = function.replace("(anonymous namespace)::", ""), None
    while bare != before:
        bare, before = re.sub(r"<[^<>]*>", "", bare), bare
    return re.split(r"[( ]", bare, maxsplit=1)[0].split("::")[-1]


def record(options, name, arguments, folder):
    """(output of the program, its findings)"""
    dump, report = os.path.join(folder, "dump.tbk"), os.path.join(folder, f"{'_'.join([name, *arguments])}.json")
    tailback, program = os.path.join(options.build, "tools", "tailback"), os.path.join(options.build, "tests", "unseen", f"unseen_{name}")
    done = subprocess.run([tailback, "record", "--quiet", "--force", "-o", dump, "--", program, *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT)
    subprocess.run([tailback, "report", "--json", report, dump], check=True, capture_output=True, timeout=TIMEOUT)
    with open(report, encoding="utf-8") as file:
        return done.stdout, json.load(file)["findings"]


def false_alarms(findings, rules=None):
    return [f"{f['severity']} {f['rule']}" for f in findings
            if f["severity"] not in LOW and (rules is None or f["rule"] in rules) and not (f["rule"] == "cpu-hotspot" and f["severity"] == "medium")]


def seconds_of(output):
    return float(re.search(r"\bseconds=([0-9.]+)", output).group(1))


def measured_gain(metric, bad, fixed):
    """As part of wall time or memory; None where the program does not say."""
    if metric == "wall_time":
        return 1 - seconds_of(fixed) / seconds_of(bad)
    found = [re.search(r"\b(?:resident|peak_rss)_mb=(\d+)", output) for output in (bad, fixed)]
    return 1 - int(found[1].group(1)) / int(found[0].group(1)) if metric == "memory" and all(found) else None


def judge(options, expected, folder):
    name = expected["program"]
    if not expected["flaw"]:
        alarms = false_alarms(record(options, name, [], folder)[1])
        return {"program": name, "flaw": "none", "first": "", "gain": "", "right": not alarms, "verdict": "; ".join(alarms) or "silent"}
    bad, findings = record(options, name, ["bad"], folder)
    fixed, of_fixed = record(options, name, ["fixed"], folder)
    row = {"program": name, "flaw": expected["flaw"], "first": "nothing", "gain": ""}
    problems = [f"fixed: {alarm}" for alarm in false_alarms(of_fixed, expected["rules"])]
    if findings:
        first = findings[0]
        function, gain = names(first["culprit"].get("function", "")), first["gain"]
        measured = measured_gain(gain["metric"], bad, fixed)
        row["first"] = f"{first['rule']} ({first['severity']}), `{function}`"
        row["gain"] = f"{gain['fraction']:.2f} of {gain['metric'].replace('_', ' ')}" + ("" if measured is None else f", measured {measured:.2f}")
        if first["rule"] not in expected["rules"] or function not in expected["functions"]:
            problems.insert(0, "not the fault")
    else:
        problems.insert(0, "missed")
    return {**row, "right": not problems, "verdict": "; ".join(problems) or "right"}


def table(rows):
    lines = ["| program | what is wrong | first suggestion | gain | |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {row['program']} | {row['flaw']} | {row['first']} | {row['gain']} | {row['verdict']} |" for row in rows]
    return "\n".join(lines) + f"\n\n{sum(row['right'] for row in rows)} of {len(rows)} as they should be.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", action="append")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    subprocess.run(["cmake", "--build", options.build, "--target", "unseen"], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(HERE, "expected.json"), encoding="utf-8") as file:
        chosen = [one for one in json.load(file) if not options.only or one["program"] in options.only]
    if not chosen:
        parser.error("no such program")
    with tempfile.TemporaryDirectory() as folder:
        rows = [judge(options, one, folder) for one in chosen]
    print(table(rows), end="")
    if options.write:
        page.write("accuracy.md", "unseen", table(rows).strip())
    return 0 if all(row["right"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

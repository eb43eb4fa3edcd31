#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs programs that others wrote bare and recorded at the highest rate, in the same folder one after the other, and compares
all that can be seen outside: stdout, stderr, exit status, the files written. Prints a table.

usage: tests/compatibility/run.py [--only NAME,...] [--write] [--list]
       --write puts the table into docs/compatibility.md, between its marks
Exit status: 0 when all are the same, 1 otherwise.
"""
import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support")]
import page  # noqa: E402
from cases import CASES  # noqa: E402
from recording import HIGHEST_RATE, clean_environment, find_program, record_command, report_run, run  # noqa: E402
from servers import SERVERS  # noqa: E402
from suites import SUITES  # noqa: E402

WAYS = ("bare", "recorded")


class Place:
    """A folder with the working folder of one run after the other, always under the same path, and the dumps."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="tailback-compatibility-")
        os.chmod(self.top, 0o755)
        self.work, self.dumps_folder = os.path.join(self.top, "work"), os.path.join(self.top, "dumps")
        os.mkdir(self.dumps_folder)
        os.chmod(self.dumps_folder, 0o1777)

    def fresh(self, files=()):
        shutil.rmtree(self.work, ignore_errors=True)
        os.mkdir(self.work)
        for name, content in files:
            with open(os.path.join(self.work, name), "wb") as out:
                out.write(content() if callable(content) else content)

    def wrapped(self, command, way):
        return list(command) if way == "bare" else record_command(command, "-F", HIGHEST_RATE, "-o", os.path.join(self.dumps_folder, "%e.%p.tbk"))

    def dumps(self):
        return sorted(os.path.join(self.dumps_folder, name) for name in os.listdir(self.dumps_folder))

    def files(self, unwatched):
        found = []
        for where, _, names in os.walk(self.work):
            for name in names:
                path = os.path.join(where, name)
                short = os.path.relpath(path, self.work)
                if any(part in short for part in unwatched) or os.path.islink(path) or not os.path.isfile(path):
                    found.append((short.split("/")[0] if any(part in short for part in unwatched) else short, ""))
                    continue
                with open(path, "rb") as content:
                    found.append((short, hashlib.sha256(content.read()).hexdigest()))
        return sorted(set(found))

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)


def hidden(output, patterns):
    for pattern in patterns:
        output = re.sub(pattern, b"@", output)
    return output


def run_case(case, place, way):
    place.fresh(case.files)
    command = [find_program(case.command[0]), *case.command[1:]]
    stdin = case.stdin() if callable(case.stdin) else case.stdin
    path = "/usr/bin:/bin:/usr/sbin:/sbin:" + os.path.expanduser("~/.cargo/bin")
    environment = clean_environment(**case.env)
    environment["PATH"] = path
    done = run(place.wrapped(command, way), cwd=place.work, stdin=stdin, env=environment, timeout=case.seconds)
    return {"status": done.status, "stdout": hidden(done.stdout, case.hide), "stderr": b"" if case.hide_stderr else hidden(done.stderr, case.hide),
            "files": place.files(case.unwatched) if case.watch_files else []}


def run_server(name, place, way):
    place.fresh()
    processes = []

    def start(command):
        processes.append(subprocess.Popen(place.wrapped(command, way), cwd=place.work, env=clean_environment(), stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
        return processes[-1]

    try:
        return {"seen by a client": SERVERS[name](start, place.work)}
    finally:
        for process in processes:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def differences(one, other):
    return [f"{what}: bare {shortened(one[what])}, recorded {shortened(other[what])}" for what in one if one[what] != other[what]]


def shortened(value):
    text = repr(value)
    return text if len(text) <= 600 else text[:300] + " ... " + text[-300:]


def has_begun(dump):
    """Not so of a process that was killed as it began, or of a daemon that outlives the program and is about to: no header was written."""
    with open(dump, "rb") as file:
        return any(file.read(64))


def compare(run_one, place):
    """(result, dumps): the result is empty when all was the same."""
    seen = {way: run_one(place, way) for way in WAYS}
    problems = differences(seen["bare"], seen["recorded"])
    if problems and differences(seen["bare"], run_one(place, "bare")):
        problems = ["two bare runs differ already: " + "; ".join(problems)]
    dumps = [dump for dump in place.dumps() if has_begun(dump)]
    if not dumps:
        problems.append("nothing was recorded")
    for dump in dumps[:40]:
        done = report_run(dump)
        if done.status != 0:
            problems.append(f"{os.path.basename(dump)} cannot be read: {done.stderr.decode(errors='replace').strip()}")
    return problems, len(dumps)


def rows():
    for case in CASES:
        yield case.name, lambda place, way, case=case: run_case(case, place, way)
    for name in SERVERS:
        yield name, lambda place, way, name=name: run_server(name, place, way)
    for suite in SUITES:
        yield suite.name, lambda place, way, suite=suite: run_case(suite, place, way)


def table(results):
    lines = ["| program | the same | dumps |", "| --- | --- | --- |"]
    for name, problems, dumps in results:
        lines.append(f"| {name} | {'yes' if not problems else 'NO: ' + '; '.join(problems)[:200].replace('|', '/')} | {dumps} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--list", action="store_true")
    chosen = parser.parse_args()
    wanted = [name for name in chosen.only.split(",") if name]
    unknown = set(wanted) - {name for name, _ in rows()}
    if unknown:
        parser.error(f"there is no program {', '.join(sorted(unknown))}")
    if chosen.list:
        print("\n".join(name for name, _ in rows()))
        return 0
    results = []
    for name, run_one in rows():
        if wanted and name not in wanted:
            continue
        place, started = Place(), time.monotonic()
        try:
            problems, dumps = compare(run_one, place)
        except (AssertionError, OSError, IndexError, subprocess.SubprocessError) as error:
            problems, dumps = [f"{type(error).__name__}: {error}"], 0
        finally:
            place.remove()
        results.append((name, problems, dumps))
        print(f"{'same' if not problems else 'DIFFERENT'}: {name}, {dumps} dumps, {time.monotonic() - started:.1f} s", *problems, sep="\n    ", flush=True)
    if chosen.write:
        page.write("compatibility.md", "table", table(results))
    failed = sum(1 for _, problems, _ in results if problems)
    print(f"{len(results) - failed} of {len(results)} programs the same")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

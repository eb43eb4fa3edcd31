# SPDX-License-Identifier: Apache-2.0
"""Runs programs bare and under tailback, and reads what came of it. Programs get a time limit, their own folder and no
terminal; nothing is stopped but what was started here, by its pid."""
import glob
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = os.environ.get("TAILBACK_BUILD_DIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release")
BUILD = os.path.abspath(BUILD)
TAILBACK = os.path.join(BUILD, "tools", "tailback")
LIBRARY = os.path.join(BUILD, "preload", "libtailback.so")
PROGRAMS = os.path.join(BUILD, "tests", "programs")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNPACKED = os.path.join(ROOT, "build", "unpacked")  # by tools/packages/unpack
HIGHEST_RATE = "10000"  # more than a CPU clock's timers can give: whatever the machine's most is
LONG = os.environ.get("TAILBACK_LONG") == "1"
SKIPPED = 77


def program(name):
    """Path of a program built for the tests (tests/end_to_end/programs)."""
    return os.path.join(PROGRAMS, name)


def find_program(name):
    """Path of an installed program; a missing one is an error, as tools/packages lists them all."""
    path = shutil.which(name, path=f"/usr/bin:/bin:/usr/sbin:/sbin:{UNPACKED}/usr/bin:{UNPACKED}/usr/sbin")
    if path is None:
        raise AssertionError(f"{name} is not installed: tools/packages/install test")
    return path


def clean_environment(**extra):
    """The tests' environment for programs: no TAILBACK_* and no preloading but what is given."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("TAILBACK_") and name not in ("LD_PRELOAD", "XDG_CONFIG_HOME")}
    kept.update(PATH="/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL="C.UTF-8", **extra)
    return kept


class Run:
    """A finished process: status as a shell says it (128+N for a signal), output, CPU time and peak memory of its tree."""

    def __init__(self, status, stdout, stderr, wall, usage):
        self.status, self.stdout, self.stderr, self.wall = status, stdout, stderr, wall
        self.cpu = usage.ru_utime + usage.ru_stime if usage else 0.0
        self.peak_bytes = usage.ru_maxrss * 1024 if usage else 0


def run(command, *, cwd=None, env=None, stdin=b"", timeout=60, preexec=None, executable=None, pass_fds=()):
    """Runs a command to its end. Output goes through files: a pipe's reader would be a second load on the machine."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=cwd, env=env if env is not None else clean_environment(), stdin=given, stdout=out, stderr=err,
                                   preexec_fn=preexec, executable=executable, pass_fds=pass_fds, start_new_session=True)
        status, usage = wait(process, timeout)
        wall = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        return Run(status, out.read(), err.read(), wall, usage)


def wait(process, timeout):
    """(status, rusage) of a child; kills its session when the time is over, which is an error."""
    end = os.pidfd_open(process.pid)  # readable at the moment the process ends: looking again and again would round its time up
    try:
        if not select.select([end], [], [], timeout)[0]:
            os.killpg(process.pid, signal.SIGKILL)
            os.wait4(process.pid, 0)
            process.returncode = -signal.SIGKILL
            raise AssertionError(f"still running after {timeout} s: {process.args}")
    finally:
        os.close(end)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return (process.returncode if process.returncode >= 0 else 128 - process.returncode), usage


def record_command(command, *options):
    return [TAILBACK, "record", "-q", *options, "--", *command]


def preload_environment(output, **options):
    """Environment of a plain LD_PRELOAD; options as the environment calls them, without TAILBACK_ and in lower case."""
    return clean_environment(LD_PRELOAD=LIBRARY, TAILBACK_OUTPUT=output, **{"TAILBACK_" + name.upper(): str(value) for name, value in options.items()})


def report_run(dumps, *options, timeout=60):
    dumps = [dumps] if isinstance(dumps, str) else dumps
    return run([TAILBACK, "report", "--json", "-", *options, *dumps], timeout=timeout)


def report(dump, *options, timeout=60):
    """The JSON report of a dump; anything but success is an error."""
    done = report_run(dump, *options, timeout=timeout)
    if done.status != 0:
        raise AssertionError(f"report of {dump} ended with {done.status}: {done.stderr.decode(errors='replace')}")
    return json.loads(done.stdout)


class Scratch(unittest.TestCase):
    """A test with a folder of its own that disappears afterwards."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tailback-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def dumps(self, pattern="*.tbk*"):
        return sorted(glob.glob(self.path(pattern)))

    def fresh_name(self):
        self.count = getattr(self, "count", 0) + 1
        return f"run{self.count}.tbk"

    def record(self, command, *options, name=None, **how):
        """Runs a command under `tailback record`; (Run, path of the dump). A dump must be there."""
        output = self.path(name or self.fresh_name())
        done = run(record_command(command, "-o", output, *options), cwd=how.pop("cwd", self.folder), **how)
        self.assertTrue(os.path.exists(output), f"no dump; status {done.status}, {done.stderr.decode(errors='replace')}")
        return done, output

    def preload(self, command, *, name=None, options=None, **how):
        """Runs a command with the library preloaded and no launcher; (Run, path of the dump)."""
        output = self.path(name or self.fresh_name())
        environment = preload_environment(output, **(options or {}))
        return run(command, cwd=how.pop("cwd", self.folder), env=environment, **how), output

    def findings(self, data, rule):
        return [finding for finding in data["findings"] if finding["rule"] == rule]


def limit(what, value):
    """For preexec: a resource limit of the child."""
    return lambda: resource.setrlimit(what, (value, value))

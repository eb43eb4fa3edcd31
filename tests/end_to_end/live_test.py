# SPDX-License-Identifier: Apache-2.0
"""A process that is being recorded is reported on while it goes on, looked at, and left alone again; it does not notice."""
import contextlib
import json
import os
import signal
import subprocess
import time
import unittest

import raw_records
from recording import TAILBACK, Scratch, clean_environment, preload_environment, program, run

BOUND = 20  # seconds
SLEEPERS, BELOW = 10, 6  # threads of programs/sleepers.cpp, and its functions below each of their roots

# Counts what a program must not see: calls that end early.
BUSY = """
import select, sys, threading, time
def work(end):
    while time.monotonic() < end: sum(i * i for i in range(1000))
def wait(end, early):
    poll = select.epoll()
    while time.monotonic() < end:
        begin = time.monotonic()
        poll.poll(0.2)
        early.append(time.monotonic() - begin < 0.19)
end, early = time.monotonic() + float(sys.argv[1]), []
threads = [threading.Thread(target=work, args=(end,)), threading.Thread(target=wait, args=(end, early))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("early:", sum(early))
"""
ALONE = "import sys, time; end = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: sum(range(1000))\nprint('done')"


def tailback(*arguments):
    return run([TAILBACK, *arguments], timeout=BOUND)


class LiveTest(Scratch):
    @contextlib.contextmanager
    def recorded(self, command, *, status=0):
        """(process, dump) of a command under the agent; its output is in self.output afterwards."""
        dump = self.path(self.fresh_name())
        with subprocess.Popen(command, cwd=self.folder, env=preload_environment(dump), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                end = time.monotonic() + BOUND
                while not (os.path.exists(dump) and os.path.getsize(dump)) and time.monotonic() < end:
                    time.sleep(0.02)
                time.sleep(1)
                yield process, dump
                self.output = process.communicate(timeout=BOUND)[0]
                self.assertEqual(process.returncode, status)
            finally:
                if process.poll() is None:
                    process.kill()

    def looked_at(self, dump):
        """Records of a look at each thread, by the thread's id."""
        number = raw_records.asked(dump, "look")
        tables = raw_records.tables(dump)
        return {row["thread"]: row for row in tables["thread_look"] if row["request"] == number}, tables

    def test_dump_then_stop(self):
        with self.recorded(["/usr/bin/python3", "-c", BUSY, "5"]) as (process, dump):
            first = self.path("first.json")
            done = tailback("dump", "--json", first, str(process.pid))
            self.assertEqual(done.status, 0, done.stderr)
            self.assertIn(b"the recording goes on", done.stderr)
            with open(first, encoding="utf-8") as file:
                report = json.load(file)
            self.assertFalse(report["target"]["complete"])
            self.assertGreater(report["summary"]["cpu_seconds"], 0.5)
            self.assertIsNone(process.poll())
            done = tailback("stop", str(process.pid))
            self.assertEqual((done.status, b"has ended" in done.stderr), (0, True), done.stderr)
            self.assertEqual(raw_records.tables(dump)["session_end"][0]["reason"], 3)
            size = os.path.getsize(dump)
            self.assertIn(b"is over already", tailback("stop", str(process.pid)).stderr)
            self.assertIsNone(process.poll())
        self.assertEqual(self.output, b"early: 0\n")
        self.assertEqual(os.path.getsize(dump), size)
        self.assertFalse(os.path.exists(dump + ".1"))

    def test_one_thread(self):
        with self.recorded(["/usr/bin/python3", "-c", ALONE, "4"]) as (process, dump):
            self.assertIn(b"has ended", tailback("stop", str(process.pid)).stderr)
            self.assertEqual(raw_records.tables(dump)["session_end"][0]["reason"], 3)
        self.assertEqual(self.output, b"done\n")

    def test_one_thread_that_sleeps(self):
        with self.recorded(["/usr/bin/python3", "-c", "import time; time.sleep(3); sum(range(20000000)); print('done')"]) as (process, dump):
            self.assertIn(b"sleeps", tailback("stop", str(process.pid)).stderr)
            done = tailback("dump", "-q", str(process.pid))
            self.assertEqual(done.status, 0, done.stderr)
        self.assertEqual(self.output, b"done\n")
        self.assertEqual(raw_records.tables(dump)["session_end"][0]["reason"], 3)

    def test_many_ask_at_once(self):
        with self.recorded(["/usr/bin/python3", "-c", BUSY, "4"]) as (process, dump):
            asking = [subprocess.Popen([TAILBACK, "dump", "-q", str(process.pid)], env=clean_environment(), stderr=subprocess.PIPE) for _ in range(6)]
            for one in asking:
                self.assertEqual((one.communicate(timeout=BOUND)[1], one.returncode), (b"", 0))
        self.assertEqual(self.output, b"early: 0\n")

    def test_look_at_a_deadlock(self):
        with self.recorded([program("deadlocks"), "pair"], status=-signal.SIGKILL) as (process, dump):
            looks, tables = self.looked_at(dump)
            process.kill()
        waiting = {thread: look for thread, look in looks.items() if look["call"] == 64}
        self.assertEqual(len(waiting), 2)
        for thread, look in waiting.items():
            self.assertEqual((look["asleep"], waiting[look["owner"]]["owner"]), (1, thread))
            self.assertTrue(look["stack"] and look["owner_stack"])
        held = {row["thread"]: row["object"] for row in tables["held_lock"]}
        self.assertEqual({thread: held[look["owner"]] for thread, look in waiting.items()}, {thread: look["object"] for thread, look in waiting.items()})

    def test_sleeping_threads_have_their_stacks(self):
        """Of threads that slept from their first call on, built with and without frame pointers."""
        for build in ("sleepers", "sleepers_unoptimized"):
            with self.subTest(build=build):
                with self.recorded([program(build), "3"]) as (_, dump):
                    looks, tables = self.looked_at(dump)
                self.assertEqual(self.output, b"done\n")
                self.assertEqual([look["asleep"] for look in looks.values()], [1] * SLEEPERS)
                for look in looks.values():
                    depth, cut = raw_records.frames_of(tables, look["stack"])
                    self.assertFalse(cut, f"{build}: call {look['call']}, {depth} frames")
                    self.assertGreater(depth, BELOW, f"{build}: call {look['call']}")

    def test_who_is_not_recorded(self):
        with subprocess.Popen(["/bin/sleep", "20"], env=clean_environment()) as sleeper:
            try:
                done = tailback("stop", str(sleeper.pid))
                self.assertEqual((done.status, b"is not being recorded" in done.stderr), (1, True), done.stderr)
            finally:
                sleeper.kill()
        done = tailback("dump", str(sleeper.pid))
        self.assertEqual((done.status, b"there is no process" in done.stderr), (1, True), done.stderr)
        for wrong in ("no", "0", "-3", "4x"):
            self.assertEqual(tailback("stop", "--", wrong).status, 2, wrong)
        self.assertEqual(tailback("stop").status, 2)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Deadlocks are said while they last and are in the dump of a process that is killed; what only looks like one is not called so. What is
told of locks agrees with what the program did."""
import os
import signal
import subprocess
import time
import unittest

import raw_records
from recording import TAILBACK, Scratch, clean_environment, preload_environment, program, report, run

THREADS = {"pair": 2, "ring": 3, "self": 1, "readers": 2, "join": 2, "c11": 2}
FILE_THREADS = {"files": 2, "file_and_mutex": 2, "twice": 1}
WITHOUT_FILES = ("given_back_by_another", "long_hold")
WITHOUT = ("timed", "back_off", "hand_over_hand", "recursive", "alone", "long_hold")
BOUND = 20  # seconds; a verdict comes within two
# Threads that sleep until one of them wakes another: how many, and where the last of them fell asleep.
STANDSTILLS = {"lost_wakeup": (2, "{lambda at standstills.cpp"), "pool_of_its_own": (3, "wait_for_inner_task"), "pipes": (3, "fill"), "barrier": (3, "{lambda at standstills.cpp")}
WOKEN_FROM_OUTSIDE = ("idle_pool", "idle_pool_and_input", "idle_until_signal", "shared_semaphore", "timed")


class LocksTest(Scratch):
    def said_while_it_lasts(self, kind, what="deadlocks", *more):
        dump = self.path(self.fresh_name())
        with subprocess.Popen([TAILBACK, "record", "-o", dump, "--", program(what), kind, *more], cwd=self.folder, env=clean_environment(),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as recorder:
            os.set_blocking(recorder.stderr.fileno(), False)
            said, end = b"", time.monotonic() + BOUND
            while b"tailback report" not in said and time.monotonic() < end and recorder.poll() is None:
                said += recorder.stderr.read() or b""
                time.sleep(0.05)
            self.assertIsNone(recorder.poll(), said)
            table = raw_records.tables(dump)
            os.kill(table["session"][0]["pid"], signal.SIGKILL)
            os.set_blocking(recorder.stderr.fileno(), True)
            recorder.stderr.read()
            self.assertEqual(recorder.wait(timeout=BOUND), 128 + signal.SIGKILL)
        return said.decode(), dump

    def test_deadlocks(self):
        for kind, threads in THREADS.items():
            with self.subTest(kind=kind):
                said, dump = self.said_while_it_lasts(kind)
                self.assertIn("deadlock in process", said)
                members = raw_records.tables(dump)["deadlock"]
                self.assertEqual([member["members"] for member in members], [threads] * threads)
                self.assertEqual(len({member["thread"] for member in members}), threads)
                self.assertEqual({member["thread"] for member in members}, {member["owner"] for member in members})
                first = report(dump)["findings"][0]
                self.assertEqual((first["rule"], first["severity"]), ("deadlock", "critical"))
                self.assertTrue(any(frame["function"] == "main" or "deadlocks.cpp" in frame["file"] for stack in first["stacks"] for frame in stack["frames"]), first["stacks"])

    def test_no_deadlocks(self):
        for kind in WITHOUT:
            with self.subTest(kind=kind):
                dump = self.path(self.fresh_name())
                done = run([program("deadlocks"), kind], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
                self.assertEqual((done.status, done.stdout, done.stderr), (0, b"done\n", b""))
                self.assertEqual(raw_records.tables(dump).get("deadlock", []), [])
                self.assertNotIn("lock-order-inversion", [finding["rule"] for finding in report(dump)["findings"]])

    def test_file_deadlocks(self):
        for kind, threads in FILE_THREADS.items():
            with self.subTest(kind=kind):
                _, dump = self.said_while_it_lasts(kind, "file_deadlocks", self.folder)
                members = raw_records.tables(dump)["deadlock"]
                self.assertEqual([(member["members"], member["process"]) for member in members], [(threads, 0)] * threads)
                first = report(dump)["findings"][0]
                self.assertEqual((first["rule"], first["severity"]), ("deadlock", "critical"))
                self.assertIn(f"lock of the file {self.path('a')}", str(first["evidence"]))

    def test_deadlock_of_two_processes(self):
        """Each has one thread, and the parent nobody of the recorder's until it waits. The child took its lock before it was worth recording."""
        dump = self.path("parent.tbk")
        with subprocess.Popen([program("file_deadlocks"), "processes", self.folder], cwd=self.folder, env=preload_environment(dump, follow_children="no"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as parent:
            end, rows = time.monotonic() + BOUND, []
            while not rows and time.monotonic() < end:
                time.sleep(0.2)
                rows = raw_records.tables(dump).get("deadlock", []) if os.path.exists(dump) else []
            child = rows[0]["process"] if rows else 0
            for pid in filter(None, (child, parent.pid)):
                os.kill(pid, signal.SIGKILL)
        self.assertNotIn(child, (0, parent.pid))
        first = report(dump)["findings"][0]
        self.assertIn(f"and process {child} wait for each other for ever, for locks of files", first["title"])

    def test_no_file_deadlocks(self):
        for kind in WITHOUT_FILES:
            with self.subTest(kind=kind):
                dump = self.path(self.fresh_name())
                done = run([program("file_deadlocks"), kind, self.folder], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
                self.assertEqual((done.status, done.stdout, done.stderr), (0, b"done\n", b""))
                self.assertEqual(raw_records.tables(dump).get("deadlock", []), [])

    def test_standstills(self):
        for kind, (threads, function) in STANDSTILLS.items():
            with self.subTest(kind=kind):
                said, dump = self.said_while_it_lasts(kind, "standstills")
                self.assertIn("suspected deadlock", said)
                tables = raw_records.tables(dump)
                self.assertEqual([row["members"] for row in tables["stuck_wait"]], [threads] * threads)
                self.assertEqual(tables.get("deadlock", []), [])
                findings = report(dump)["findings"]
                self.assertIn(findings[0]["rule"], ("deadlock", "pool-deadlock"))
                suspected = [finding for finding in findings if finding["rule"] == "deadlock"]
                self.assertEqual([finding["severity"] for finding in suspected], ["high"])
                self.assertIn(function, suspected[0]["culprit"]["function"])

    def test_no_standstills(self):
        """Threads that only something outside of them can wake, which comes after a while."""
        for kind in WOKEN_FROM_OUTSIDE:
            with self.subTest(kind=kind):
                dump = self.path(self.fresh_name())
                done = run([program("standstills"), kind], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
                self.assertEqual((done.status, done.stdout, done.stderr), (0, b"done\n", b""))
                self.assertNotIn("deadlock", [finding["rule"] for finding in report(dump)["findings"]])

    def test_ring_that_never_closed(self):
        """Two orders, one after the other: nothing hangs, and it is told all the same."""
        dump = self.path(self.fresh_name())
        done = run([program("lock_figures"), "orders"], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
        self.assertEqual((done.status, done.stderr), (0, b""))
        found = [finding for finding in report(dump)["findings"] if finding["rule"] == "lock-order-inversion"]
        self.assertEqual(len(found), 1)
        self.assertEqual({stack["role"] for stack in found[0]["stacks"]}, {"waiter", "holder"})

    def test_figures(self):
        """The program counts for itself: waits and their time by its own clock, acquisitions, time held."""
        for kind in ("mutex", "rwlock", "c11", "spin"):
            with self.subTest(kind=kind):
                dump = self.path(self.fresh_name())
                done = run([program("lock_figures"), kind], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
                self.assertEqual(done.status, 0, done.stderr)
                own = dict(part.split("=") for part in done.stdout.decode().split())
                lock = report(dump)["locks"][0]
                self.assertEqual(lock["address"], int(own["address"], 16))
                waited = float(own["waited"])
                self.assertAlmostEqual(lock["wait_seconds"], waited, delta=0.1 * waited)
                self.assertGreater(lock["held_up_seconds"], 0.4 * waited)  # less what the waiter then waits for a CPU
                self.assertLess(lock["held_up_seconds"], 1.1 * waited)
                self.assertIn("hold_it", lock["holders"][0]["culprit"]["function"])
                self.assertIn("wait_for_it", lock["waiters"][0]["culprit"]["function"])


    def test_locks_made_of_futexes(self):
        """What a program makes of futexes itself: a lock is one for the report, what only looks like it is not."""
        waits, gives_on = 74, 80  # futex_lock, unlock
        errors = [run([program("futexes"), "errors"], cwd=self.folder, env=env, timeout=BOUND) for env in (clean_environment(), preload_environment(self.path(self.fresh_name())))]
        self.assertEqual((errors[1].status, errors[1].stdout), (errors[0].status, errors[0].stdout))
        for kind, done in (("lock", b"done 240\n"), ("counter", b"done 60\n"), ("parked", b"done 60\n")):
            with self.subTest(kind=kind):
                dump = self.path(self.fresh_name())
                ran = run([program("futexes"), kind], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
                self.assertEqual((ran.status, ran.stdout, ran.stderr), (0, done, b""))
                calls = [row["call"] for row in raw_records.tables(dump)["call_aggregate"]]
                locks = [finding for finding in report(dump)["findings"] if finding["rule"].startswith("lock-")]
                if kind != "lock":
                    self.assertEqual((calls.count(waits), calls.count(gives_on), locks), (0, 0, []))
                    continue
                self.assertGreaterEqual(calls.count(waits), 2)
                self.assertGreaterEqual(calls.count(gives_on), 2)
                self.assertEqual([finding["culprit"]["function"].split("::")[-1] for finding in locks[:1]], ["work_under"], locks)


    def test_interpreter_lock(self):
        """Threads of Python that compute take turns; processes do not, and threads that wait for something else hardly."""
        burn = "def burn(n):\n  for i in range(n): n = (n * 31 + i) % 1000003\n"
        programs = {"threads": burn + "import threading as t\nall = [t.Thread(target=burn, args=(4000000,)) for _ in range(4)]",
                    "processes": burn + "import multiprocessing as m\nall = [m.Process(target=burn, args=(4000000,)) for _ in range(2)]",
                    "sleepers": "import threading as t, time\nall = [t.Thread(target=lambda: [time.sleep(0.002) for _ in range(300)]) for _ in range(4)]"}
        for kind, text in programs.items():
            with self.subTest(kind=kind):
                dump = self.path(self.fresh_name())
                text += "\nfor one in all: one.start()\nfor one in all: one.join()"
                for _ in range(3):  # who gives it up is sampled
                    ran = run(["/usr/bin/python3", "-c", text], cwd=self.folder, env=preload_environment(dump), timeout=60)
                    self.assertEqual((ran.status, ran.stdout, ran.stderr), (0, b"", b""))
                    found = [finding for finding in report(dump)["findings"] if "GIL" in finding["title"]]
                    if kind != "threads" or [finding["culprit"]["function"] for finding in found] == ["_PyEval_EvalFrameDefault"]:
                        break
                    dump = self.path(self.fresh_name())
                if kind == "threads":
                    self.assertEqual([(finding["rule"], finding["severity"]) for finding in found], [("lock-contention", "high")])
                    self.assertEqual(found[0]["culprit"]["function"], "_PyEval_EvalFrameDefault")
                    self.assertGreater(found[0]["gain"]["fraction"], 0.2)
                else:
                    self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main()

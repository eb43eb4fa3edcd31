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
            self.assertGreater(report["summary"]["cpu_seconds"], 0.1)
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
                with self.recorded([program(build), "5"]) as (_, dump):
                    looks, tables = self.looked_at(dump)
                self.assertEqual(self.output, b"done\n")
                self.assertEqual([look["asleep"] for look in looks.values()], [1] * SLEEPERS)
                for look in looks.values():
                    depth, cut = raw_records.frames_of(tables, look["stack"])
                    self.assertFalse(cut, f"{build}: call {look['call']}, {depth} frames")
                    self.assertGreater(depth, BELOW, f"{build}: call {look['call']}")

    def stacks_of(self, pid):
        path = self.path(self.fresh_name())
        done = tailback("stacks", "--json", path, str(pid))
        if b"may not be looked at by ptrace" in done.stderr:
            self.skipTest(done.stderr.decode())
        self.assertEqual((done.status, done.stderr), (0, b""))
        with open(path, encoding="utf-8") as file:
            look = json.load(file)
        self.assertEqual((look["schema"], look["pid"]), ("tailback.stacks/1", pid))
        return look, done.stdout.decode()

    @contextlib.contextmanager
    def unrecorded(self, command, status=0):
        with subprocess.Popen(command, cwd=self.folder, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                time.sleep(1)
                yield process, None
                self.output = process.communicate(timeout=BOUND)[0]
                self.assertEqual(process.returncode, status)
            finally:
                if process.poll() is None:
                    process.kill()

    def test_stacks_of_a_deadlock(self):
        for through, start in (("the agent in it", self.recorded), ("ptrace", self.unrecorded)):
            with self.subTest(through=through):
                with start([program("deadlocks"), "pair"], status=-signal.SIGKILL) as (process, _):
                    look, text = self.stacks_of(process.pid)
                    process.kill()
                self.assertEqual(look["through"], through)
                (ring,) = look["deadlocks"]
                threads = {thread["tid"]: thread for thread in look["threads"]}
                self.assertEqual([threads[tid]["owner"] for tid in ring], [*ring[1:], ring[0]])
                for tid in ring:
                    self.assertIn("take_both", " ".join(frame["function"] for frame in threads[tid]["frames"]))
                    self.assertIn("mutex", threads[tid]["object"])
                self.assertEqual(threads[process.pid]["owner"], next(tid for tid in threads if tid != process.pid), "main joins the first")
                self.assertIn("deadlock: 2 threads wait for each other", text)

    def test_what_only_looks_like_a_deadlock(self):
        for kind in ("timed", "hand_over_hand", "back_off"):
            for through, start in (("the agent in it", self.recorded), ("ptrace", self.unrecorded)):
                with self.subTest(kind=kind, through=through), start([program("deadlocks"), kind]) as (process, _):
                    look, _ = self.stacks_of(process.pid)
                    self.assertEqual((look["through"], look["deadlocks"]), (through, []))

    def test_stacks_of_sleepers(self):
        for through, start in (("the agent in it", self.recorded), ("ptrace", self.unrecorded)):
            with self.subTest(through=through):
                with start([program("sleepers"), "5"]) as (process, _):
                    look, _ = self.stacks_of(process.pid)
                self.assertEqual((self.output, look["through"], look["deadlocks"]), (b"done\n", through, []))
                self.assertEqual([thread["stack_note"] for thread in look["threads"]], [""] * SLEEPERS)
                functions = [[frame["function"].split("::")[-1] for frame in thread["frames"]] for thread in look["threads"]]
                self.assertEqual([names.count("below") for names in functions], [BELOW] * SLEEPERS)
                self.assertEqual([names[-1] for names in functions], ["_start"] + ["clone3"] * (SLEEPERS - 1))

    def test_a_look_leaves_the_process_as_it_was(self):
        """Stopped by ptrace again and again: it computes the same, and what was stopped stays stopped."""
        with self.unrecorded(["/usr/bin/python3", "-c", ALONE, "4"]) as (process, _):
            for _ in range(5):
                self.assertEqual(self.stacks_of(process.pid)[0]["through"], "ptrace")
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            look, _ = self.stacks_of(process.pid)
            self.assertEqual(look["threads"][0]["state"], "T")
            self.assertTrue(look["threads"][0]["frames"])
            time.sleep(0.2)
            with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
                self.assertEqual(stat.read().rsplit(")", 1)[1].split()[0], "T")
            process.send_signal(signal.SIGCONT)
        self.assertEqual(self.output, b"done\n")

    def test_signals_that_arrive_meanwhile_are_not_lost(self):
        counting = ("import os, signal, sys, time\nread, write = os.pipe()\nos.set_blocking(write, False)\nsignal.set_wakeup_fd(write)\n"
                    "signal.signal(signal.SIGRTMIN + 3, lambda *_: None)\nopen('ready', 'w').close()\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass\n"
                    "print(len(os.read(read, 4096)))")  # a byte for each signal
        with self.unrecorded(["/usr/bin/python3", "-c", counting]) as (process, _):
            end = time.monotonic() + BOUND
            while not os.path.exists(self.path("ready")) and time.monotonic() < end:
                time.sleep(0.02)
            looking = subprocess.Popen([TAILBACK, "stacks", str(process.pid)], env=clean_environment(), stdout=subprocess.DEVNULL)
            for _ in range(200):  # queued, each by itself
                process.send_signal(signal.SIGRTMIN + 3)
                time.sleep(0.001)
            self.assertEqual(looking.wait(timeout=BOUND), 0)
        self.assertEqual(self.output, b"200\n")

    def test_who_is_not_recorded(self):
        with subprocess.Popen(["/bin/sleep", "20"], env=clean_environment()) as sleeper:
            try:
                done = tailback("stop", str(sleeper.pid))
                self.assertEqual((done.status, b"is not being recorded" in done.stderr), (1, True), done.stderr)
            finally:
                sleeper.kill()
        done = tailback("dump", str(sleeper.pid))
        self.assertEqual((done.status, b"there is no process" in done.stderr), (1, True), done.stderr)
        done = tailback("stacks", str(sleeper.pid))
        self.assertEqual((done.status, b"there is no process" in done.stderr), (1, True), done.stderr)
        for wrong in ("no", "0", "-3", "4x"):
            self.assertEqual(tailback("stop", "--", wrong).status, 2, wrong)
        self.assertEqual(tailback("stop").status, 2)


if __name__ == "__main__":
    unittest.main()

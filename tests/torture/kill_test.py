# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random moments: every dump parses, says that it is incomplete, and has lost the last second at most."""
import os
import random
import signal
import subprocess
import time

import forms
from recording import Scratch, clean_environment, preload_environment, program, record_command, report

LOST_AT_MOST = 1.0


class KillTest(Scratch):
    ROUNDS = forms.rounds(20, 1000)

    def setUp(self):
        super().setUp()
        self.random = random.Random(os.environ.get("TAILBACK_SEED", "7"))

    def run_and_kill(self, number):
        """(dump, last line of the program as (CLOCK_MONOTONIC, CPU seconds), seconds that it ran)"""
        threads = self.random.choice((1, 1, 2, 4, 8))
        launched = number % 2 == 0
        seconds = self.random.choice((0.0, 0.01, 0.1, 0.5, 1.2, 2.2)) + self.random.random() * 0.3
        dump, progress = self.path(f"{number}.tbk"), self.path(f"{number}.progress")
        command = [program("steady_progress"), str(threads), "60"]
        with open(progress, "wb") as out:
            process = subprocess.Popen(record_command(command, "-o", dump) if launched else command, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.DEVNULL, start_new_session=True,
                                       env=clean_environment() if launched else preload_environment(dump))
        deadline = time.monotonic() + 20
        while not os.path.getsize(progress):
            self.assertLess(time.monotonic(), deadline, "the program does not begin")
            time.sleep(0.002)
        first = self.lines(progress)[0]
        time.sleep(seconds)
        os.kill(self.child_of(process.pid) if launched else process.pid, signal.SIGKILL)
        status = process.wait(timeout=30)
        self.assertEqual(status, 128 + signal.SIGKILL if launched else -signal.SIGKILL)
        last = self.lines(progress)[-1]
        return dump, last[1], last[0] - first[0]

    @staticmethod
    def child_of(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as source:
            (child,) = source.read().split()
        return int(child)

    @staticmethod
    def lines(path):
        with open(path, encoding="ascii") as source:
            whole = source.read().rsplit("\n", 1)[0]
        return [tuple(int(word) / 1e9 for word in line.split()) for line in whole.splitlines()]

    def test_killed_at_random_moments(self):
        for number in range(self.ROUNDS):
            with self.subTest(number=number):
                dump, cpu, ran = self.run_and_kill(number)
                data = report(dump)
                self.assertFalse(data["target"]["complete"])
                self.assertGreaterEqual(data["target"]["duration_seconds"], ran - LOST_AT_MOST)
                # The lost second of wall time holds that much CPU time on each CPU.
                known = sum(row["cpu_seconds"] for row in data["threads"])
                self.assertGreaterEqual(known, cpu - LOST_AT_MOST * (os.cpu_count() or 1) - 0.05 * cpu)
                # On a crowded machine the last line is older than the kill by some scheduling delays.
                self.assertLessEqual(known, 1.05 * cpu + 0.5 * (os.cpu_count() or 1))
                os.unlink(dump)


class OtherEndsTest(Scratch):
    def check(self, how, status):
        done, dump = self.record([program("sudden_ends"), how])
        self.assertEqual(done.status, status, done.stderr)
        data = report(dump)
        self.assertGreaterEqual(sum(row["cpu_seconds"] for row in data["threads"]), 0.25, "the recording lost what came before the end")
        return data["target"]["complete"]

    def test_orderly_ends(self):
        self.assertTrue(self.check("exit", 3))
        self.assertTrue(self.check("_exit", 3))
        self.assertTrue(self.check("quick_exit", 3))
        self.assertTrue(self.check("return_with_threads", 3))
        self.assertTrue(self.check("main_thread_ends_first", 0))

    def test_crashes(self):
        for how, number in (("abort", signal.SIGABRT), ("throw", signal.SIGABRT), ("fault", signal.SIGSEGV), ("stack_overflow", signal.SIGSEGV), ("exit_in_handler", None)):
            complete = self.check(how, 4 if number is None else 128 + number)
            self.assertEqual(complete, number is None)


class KilledLauncherTest(Scratch):
    def test_program_goes_on(self):
        """The launcher's death is none of the program's business, and the dump is complete without it."""
        dump = self.path("run.tbk")
        process = subprocess.Popen(record_command([program("steady_progress"), "2", "1.5"], "-o", dump), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment(), start_new_session=True)
        process.stdout.readline()
        process.kill()
        lines = process.stdout.read().splitlines()  # until the program itself closes its end
        process.stdout.close()
        process.wait()
        self.assertGreater((int(lines[-1].split()[0]) - int(lines[0].split()[0])) / 1e9, 1.0)
        time.sleep(0.2)
        self.assertTrue(report(dump)["target"]["complete"])


if __name__ == "__main__":
    forms.main()

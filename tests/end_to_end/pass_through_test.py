# SPDX-License-Identifier: Apache-2.0
"""A recorded program must not notice, and neither must whoever uses it: its environment, descriptors, signals and exit status pass
through the launcher unchanged. Whole programs are compared by tests/compatibility."""
import fcntl
import os
import signal
import subprocess
import termios
import unittest

from recording import Scratch, clean_environment, find_program, preload_environment, record_command, run


class PassThroughTest(Scratch):
    def test_environment(self):
        """What children see of the environment is the program's own business: no TAILBACK_ name may shadow one."""
        bare, recorded = run([find_program("env")]), self.record([find_program("env")])[0]
        own = lambda out: sorted(line for line in out.splitlines() if not line.startswith((b"TAILBACK_", b"LD_PRELOAD=")))
        self.assertEqual(own(bare.stdout), own(recorded.stdout))

    def test_file_descriptors(self):
        """The program inherits exactly the descriptors it would have."""
        listing = [find_program("bash"), "-c", "ls /proc/$$/fd; exec 9</dev/null; ls /proc/$$/fd"]
        self.assertEqual(run(listing).stdout, self.record(listing)[0].stdout)


    def test_ignored_signals(self):
        """Started with signals ignored, those of children among them: the program sees that as it is, and its status is known all the same."""
        def ignore():
            for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
        command = [find_program("bash"), "-c", "grep SigIgn /proc/$$/status; exit 7"]
        bare, recorded = run(command, preexec=ignore), self.record(command, preexec=ignore)[0]
        self.assertEqual((recorded.status, recorded.stdout, recorded.stderr), (bare.status, bare.stdout, bare.stderr))
        self.assertEqual(recorded.status, 7)


class SignalTest(Scratch):
    READY = 'trap "echo term; exit 9" TERM; trap "echo int; exit 5" INT; trap "echo usr1" USR1; echo ready; while :; do sleep 0.05; done'

    def start(self, command, **how):
        process = subprocess.Popen(record_command(command, "-o", self.path("run.tbk")), env=clean_environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def test_termination_is_handed_on(self):
        process = self.start(["bash", "-c", self.READY], start_new_session=True)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=20), (b"term\n", b""))
        self.assertEqual(process.returncode, 9)

    def test_other_signals_are_handed_on(self):
        process = self.start(["bash", "-c", self.READY], start_new_session=True)
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.stdout.readline(), b"usr1\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=20)[0], b"term\n")

    def test_interrupt_of_the_terminal_group(self):
        """Ctrl-C reaches launcher and program both; the program handles it, once, and its status is the result."""
        terminal, end = os.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, end)
        process = self.start(["bash", "-c", self.READY], start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(end, termios.TIOCSCTTY, 0))
        os.write(terminal, b"\x03")
        self.assertEqual(process.communicate(timeout=20)[0], b"int\n")
        self.assertEqual(process.returncode, 5)
        self.assertTrue(self.dumps())

    def test_killed_program(self):
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
            done, _ = self.record(["bash", "-c", f"kill -{int(number)} $$"], name=f"{int(number)}.tbk")
            self.assertEqual(done.status, 128 + number)


class PlainPreloadTest(Scratch):
    def test_enabled_0_does_nothing(self):
        done, dump = self.preload([find_program("python3"), "-c", "print(1)"], options={"enabled": 0})
        self.assertEqual((done.status, done.stdout, done.stderr), (0, b"1\n", b""))
        self.assertFalse(os.path.exists(dump))

    def test_unusable_output_does_not_disturb(self):
        environment = preload_environment(self.path("no/such/folder/run.tbk"))
        done = run([find_program("bash"), "-c", "echo fine; exit 6"], env=environment)
        self.assertEqual((done.status, done.stdout, done.stderr), (6, b"fine\n", b""))

    def test_unusable_options_do_not_disturb(self):
        done, _ = self.preload([find_program("bash"), "-c", "echo fine; exit 6"], options={"frequency": "fast", "max_size": "-1", "locks": "\xff"})
        self.assertEqual((done.status, done.stdout, done.stderr), (6, b"fine\n", b""))


if __name__ == "__main__":
    unittest.main()

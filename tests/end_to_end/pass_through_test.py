# SPDX-License-Identifier: Apache-2.0
"""A recorded program must not notice, and neither must whoever uses it: output, exit status and signals of real programs at
the highest rate are those of the bare program, byte for byte."""
import os
import signal
import subprocess
import time
import unittest

import sample_data
from recording import HIGHEST_RATE, Scratch, clean_environment, find_program, preload_environment, record_command, run, wait

GIT = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z", "GIT_AUTHOR_NAME": "a",
       "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null",
       "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "init.defaultBranch", "GIT_CONFIG_VALUE_0": "main"}
PYTHON_THREADS = """
import subprocess, sys, threading
sums = [0] * 4
def work(i): sums[i] = sum(range(200000 * (i + 1)))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sums, subprocess.run(['sh', '-c', 'echo child; exit 4'], capture_output=True))
sys.stderr.write('to stderr\\n'); sys.exit(9)
"""
MAKEFILE = "all: a b\n\t@cat a b\na:\n\techo one > a\nb: a\n\tsed s/one/two/ a > b\n"
HELLO = '#include <cstdio>\n#include <string>\nint main() { std::string s = "hello"; std::puts(s.c_str()); return 3; }\n'


class PassThroughTest(Scratch):
    @classmethod
    def setUpClass(cls):
        cls.text = sample_data.text(2)

    def same(self, command, *, stdin=b"", env=None, files=()):
        """Runs in two equal fresh folders, bare and recorded, and compares everything that can be seen outside."""
        command = [find_program(command[0]), *command[1:]]
        seen = {}
        for way in ("bare", "recorded"):
            folder = self.path(way)
            work = os.path.join(folder, "work")  # same name of the working folder in both: programs print it
            os.makedirs(work)
            for name, content in files:
                with open(os.path.join(work, name), "wb") as out:
                    out.write(content)
            wrapped = command if way == "bare" else record_command(command, "-F", HIGHEST_RATE, "-o", os.path.join(folder, "%e.%p.tbk"))
            done = run(wrapped, cwd=work, stdin=stdin, env=clean_environment(**(env or {})), timeout=120)
            seen[way] = (done.status, done.stdout.replace(folder.encode(), b"@"), done.stderr.replace(folder.encode(), b"@"),
                         self.files_below(work))
        self.assertEqual(seen["bare"], seen["recorded"])
        self.assertTrue([name for name in os.listdir(self.path("recorded")) if name.endswith(".tbk")], "nothing was recorded")
        return seen["bare"]

    @staticmethod
    def files_below(folder):
        return sorted(os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names)

    def test_bash(self):
        script = 'trap "echo bye" EXIT; for i in {1..200}; do x=$((x+i)); done; (exit 3); echo $? $x; cat <(echo sub) | tr a-z A-Z; echo err >&2; exit 7'
        self.assertEqual(self.same(["bash", "-c", script])[0], 7)

    def test_bash_jobs_and_signals(self):
        script = 'sleep 5 & kill $!; wait $!; echo $?; trap "echo usr1" USR1; kill -USR1 $$; kill -TERM $$'
        self.assertEqual(self.same(["bash", "-c", script])[0], 128 + signal.SIGTERM)

    def test_dash(self):
        self.same(["dash", "-c", 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); /bin/true; done; echo $i; ulimit -n; false'])

    def test_python3(self):
        self.assertEqual(self.same(["python3", "-c", PYTHON_THREADS])[0], 9)

    def test_perl(self):
        self.same(["perl", "-e", '$SIG{ALRM} = sub { print "alarm\\n"; exit 5 }; alarm 1; my %h; while (1) { $h{$_ % 97} += $_ for 1 .. 1000 }'])

    def test_git(self):
        script = "git init -q . && git add . && git commit -q -m one && git log --stat && git gc -q && git fsck && git rev-parse HEAD"
        self.same(["bash", "-c", script], env=GIT, files=[("text", self.text), ("more", b"more\n")])

    def test_gzip(self):
        self.same(["gzip", "-n", "-c", "-9"], stdin=self.text)

    def test_xz_threads(self):
        self.same(["xz", "-T2", "--block-size=256KiB", "-c", "-3"], stdin=self.text)

    def test_xz_damaged_input(self):
        self.assertNotEqual(self.same(["xz", "-d", "-c"], stdin=b"no xz at all")[0], 0)

    def test_zstd_threads(self):
        self.same(["zstd", "-T2", "-q", "-c", "-9"], stdin=self.text)

    def test_sqlite3(self):
        self.same(["sqlite3", "data.db"], stdin=b"CREATE TABLE t(a, b); BEGIN;\n" + sample_data.sql(200000) +
                  b"INSERT INTO t SELECT value, value * value FROM generate_series(1, 20000); COMMIT; SELECT sum(b) FROM t; SELECT nothing;\n")

    def test_jq(self):
        self.same(["jq", "-c", "group_by(.name) | map({key: .[0].name, count: length, sum: (map(.value.y) | add)})"], stdin=sample_data.json_rows(8000))

    def test_awk(self):
        self.same(["awk", "{ for (i = 1; i <= NF; ++i) ++n[$i] } END { for (w in n) if (n[w] > 500) print w, n[w] }"], stdin=self.text)

    def test_sed(self):
        self.same(["sed", "-E", "s/([a-z])([a-z])/\\2\\1/g;5q"], stdin=self.text)

    def test_find(self):
        self.same(["find", "/usr/include", "-name", "*.h", "-newer", "/nowhere"])

    def test_make(self):
        self.same(["make"], files=[("Makefile", MAKEFILE.encode())])

    def test_gcc(self):
        self.assertEqual(self.same(["bash", "-c", "g++ -O1 -o hello hello.cpp && ./hello"], files=[("hello.cpp", HELLO.encode())])[0], 3)

    def test_clang(self):
        self.same(["clang++-14", "-fsyntax-only", "hello.cpp", "-Weverything"], files=[("hello.cpp", HELLO.encode() + b"int unused(int x) { return 1; }\n")])

    def test_environment(self):
        """What children see of the environment is the program's own business: no TAILBACK_ name may shadow one."""
        bare, recorded = run([find_program("env")]), self.record([find_program("env")])[0]
        own = lambda out: sorted(line for line in out.splitlines() if not line.startswith((b"TAILBACK_", b"LD_PRELOAD=")))
        self.assertEqual(own(bare.stdout), own(recorded.stdout))

    def test_file_descriptors(self):
        """The program inherits exactly the descriptors it would have."""
        listing = ["bash", "-c", "ls /proc/$$/fd; exec 9</dev/null; ls /proc/$$/fd"]
        self.same(listing)


class ServerTest(Scratch):
    def serve(self, way):
        """Starts redis-server, loads it, shuts it down; (status, replies)."""
        server = self.path("redis-server")  # the server is this binary under another name
        if not os.path.exists(server):
            os.symlink(find_program("redis-check-rdb"), server)
        socket = self.path(f"{way}.sock")
        command = [server, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", self.folder, "--io-threads", "2", "--loglevel", "warning"]
        if way == "recorded":
            command = record_command(command, "-F", HIGHEST_RATE, "-o", self.path("redis.tbk"))
        process = subprocess.Popen(command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        deadline = time.monotonic() + 20
        while not os.path.exists(socket) and time.monotonic() < deadline:
            time.sleep(0.02)
        client = [find_program("redis-cli"), "-s", socket]
        replies = [run([*client, *words]).stdout for words in (["set", "k", "v"], ["get", "k"], ["incr", "n"], ["debug", "sleep", "0.1"],
                                                              ["eval", "local s = 0 for i = 1, 1000000 do s = s + i end return s", "0"])]
        run([*client, "shutdown", "nosave"])
        return wait(process, 30)[0], replies

    def test_redis(self):
        bare, recorded = self.serve("bare"), self.serve("recorded")
        self.assertEqual(bare, recorded)
        self.assertEqual(bare[0], 0)
        self.assertEqual(self.dumps(), [self.path("redis.tbk")])


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
        """Ctrl-C reaches both; the program handles it, and its status is the result."""
        process = self.start(["bash", "-c", self.READY], start_new_session=True)
        os.killpg(process.pid, signal.SIGINT)
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

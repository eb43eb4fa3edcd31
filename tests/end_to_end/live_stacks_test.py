# SPDX-License-Identifier: Apache-2.0
"""tailback stacks of processes in which no agent is: every thread's stack, what it waits for and who holds it; the process goes on
as if nothing had been. What cannot be looked at is refused with the cause."""
import ctypes
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time
import unittest

from recording import TAILBACK, Scratch, clean_environment, program, run

BOUND = 30  # seconds for whatever is to happen
RINGS = {"pair": 2, "ring": 3, "self": 1, "join": 2, "c11": 2}

SEVERAL_WAITS = """
import socket, threading, time
def named(name, work):
    threading.Thread(target=work, name=name, daemon=True).start()
lock = threading.Lock(); lock.acquire()
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
accepted = listener.accept()
near, far = socket.socketpair()
sleeper = threading.Thread(target=time.sleep, args=(100,), daemon=True); sleeper.start()
named("locked", lock.acquire)
named("receiver", lambda: client.recv(1))
named("pair", lambda: near.recv(1))
named("acceptor", listener.accept)
print(client.getpeername()[1], flush=True)
sleeper.join()
"""

FIRST_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
ctypes.PyDLL(None).syscall(60, 0)
"""

# Each byte must come back, each call succeed; then a status that is its own.
BUSY = """
import os, select, sys, threading, time
there, back = os.pipe(), os.pipe()
def echo():
    while data := os.read(there[0], 1): os.write(back[1], data)
    os.close(back[1])
threading.Thread(target=echo).start()
poller = select.epoll(); poller.register(back[0], select.EPOLLIN)
print("ready", flush=True)
rounds = 0
while not select.select([0], [], [], 0)[0]:
    os.write(there[1], b"x")
    assert poller.poll() == [(back[0], select.EPOLLIN)]
    assert os.read(back[0], 1) == b"x"
    rounds += 1
    time.sleep(0.001)
os.close(there[1])
print(os.read(back[0], 1), rounds > 10, flush=True)
sys.exit(7)
"""

# The parent of a vfork waits in a way that no signal ends; the child waits for somebody to open the FIFO.
IN_THE_KERNEL = """
import os, sys, threading
child = []
def spawn(): child.append(os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)]))
thread = threading.Thread(target=spawn); thread.start(); thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]))
"""


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def functions(thread):
    return [frame["function"] for frame in thread["frames"]]


class LiveStacksTest(Scratch):
    def start(self, *command, stdin=subprocess.DEVNULL):
        process = subprocess.Popen(command, env=clean_environment(), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait(timeout=BOUND)
            process.stdout.close()
            if process.stdin:
                process.stdin.close()

        self.addCleanup(end)
        return process

    def look(self, pid, *options):
        done = run([TAILBACK, "stacks", "--json", "-", *options, str(pid)], timeout=BOUND)
        self.assertEqual(done.status, 0, done.stderr)
        look = json.loads(done.stdout)
        self.assertEqual((look["schema"], look["pid"], look["through"]), ("tailback.stacks/1", pid, "ptrace"))
        return look

    def until(self, condition):
        end = time.monotonic() + BOUND
        while not (result := condition()) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertTrue(result)
        return result

    def refused(self, *arguments, status=1, **options):
        done = run([TAILBACK, "stacks", *arguments], timeout=BOUND, **options)
        self.assertEqual((done.status, done.stdout), (status, b""), done.stderr)
        return done.stderr.decode()

    def test_deadlocks(self):
        for kind, members in RINGS.items():
            with self.subTest(kind=kind):
                target = self.start(program("deadlocks"), kind)
                look = self.until(lambda: (found := self.look(target.pid))["deadlocks"] and found)
                self.assertEqual([len(ring) for ring in look["deadlocks"]], [members])
                threads = {thread["tid"]: thread for thread in look["threads"]}
                ring = look["deadlocks"][0]
                for at, tid in enumerate(ring):
                    self.assertEqual(threads[tid]["owner"], ring[(at + 1) % len(ring)])
                    self.assertRegex(threads[tid]["object"], r"^(mutex 0x[0-9a-f]+|thread \d+)$")
                    if kind != "c11":  # there the C library is called as a tail call, which leaves no frame
                        self.assertTrue(any("deadlocks.cpp" in frame["file"] for frame in threads[tid]["frames"]), threads[tid])

    def test_statically_linked(self):
        target = self.start(program("deadlocks_static"), "pair")
        look = self.until(lambda: (found := self.look(target.pid))["deadlocks"] and found)
        for thread in look["threads"]:
            self.assertIn(functions(thread)[-1], ("_start", "clone3", "__clone3"))
            self.assertTrue(any("deadlocks.cpp" in frame["file"] for frame in thread["frames"]), thread)

    def test_blocked_threads(self):
        target = self.start(program("blocked_threads"))
        self.assertEqual(target.stdout.readline(), b"ready\n")
        look = self.until(lambda: (found := self.look(target.pid)) and all(thread["call"] for thread in found["threads"]) and found)
        threads = {thread["name"]: thread for thread in look["threads"]}
        calls = {name: (thread["call"], thread["object"].split(" 0x")[0], thread["owner"] == target.pid) for name, thread in threads.items()}
        timed = calls.pop("patient")
        self.assertIn(timed[0], ("pthread_mutex_timedlock", "pthread_mutex_clocklock"))
        self.assertEqual(timed[1:], ("mutex", True))
        self.assertEqual(calls, {
            "blocked_threads": ("pthread_join", f"thread {threads['patient']['tid']}", False),
            "reader": ("pthread_rwlock_rdlock", "read-write lock", True),
            "writer": ("pthread_rwlock_wrlock", "read-write lock", True),
            "inheriting": ("pthread_mutex_lock", "mutex", True),
            "handler": ("pause", "", False),
            "deep": ("pthread_cond_wait", "condition", False)})
        self.assertEqual(threads["reader"]["object"], threads["writer"]["object"])
        self.assertEqual(look["deadlocks"], [])  # the ring of the first thread and "patient" has limits
        self.assertEqual(sum("::down" in function and "<" not in function for function in functions(threads["deep"])), 401)
        inside = functions(threads["handler"])
        self.assertLess(next(i for i, name in enumerate(inside) if "handle" in name), inside.index("raise"))
        for thread in look["threads"]:
            self.assertEqual(thread["stack_note"], "")
        text = run([TAILBACK, "stacks", str(target.pid)], timeout=BOUND).stdout.decode()
        self.assertNotIn("deadlock: ", text)
        self.assertIn("(x 401)", text)

    def test_single_thread(self):
        target = self.start("/bin/sleep", "100")
        thread = self.until(lambda: (threads := self.look(target.pid)["threads"])[0]["call"] and threads)
        self.assertEqual([(one["tid"], one["name"], one["state"], one["call"], one["object"]) for one in thread],
                         [(target.pid, "sleep", "S", "clock_nanosleep", "100 s")])
        self.assertTrue(any("nanosleep" in function for function in functions(thread[0])), thread)
        self.assertEqual(thread[0]["stack_note"], "")

    def test_threads_that_wait_for_different_things(self):
        target = self.start(sys.executable, "-c", SEVERAL_WAITS)
        port = int(target.stdout.readline())
        calls = {"clock_nanosleep", "recvfrom", "accept4"}
        look = self.until(lambda: (found := self.look(target.pid)) and calls <= {thread["call"] for thread in found["threads"]} and found)
        self.assertEqual(len(look["threads"]), 6)
        objects = {(thread["call"], thread["object"].split(" 0x")[0]) for thread in look["threads"]}
        self.assertIn(("recvfrom", f"127.0.0.1:{port}"), objects)
        self.assertIn(("recvfrom", "unix socket"), objects)
        self.assertIn(("accept4", f"socket listening on 127.0.0.1:{port}"), objects)
        self.assertEqual(sum(thread["object"].startswith("semaphore 0x") for thread in look["threads"]), 2, look["threads"])
        for thread in look["threads"]:
            self.assertEqual(thread["stack_note"], "")
            self.assertIn(functions(thread)[-1], ("_start", "clone3", "__clone3", "__GI___clone3"))

    def look_some_times(self, target):
        self.assertEqual(target.stdout.readline(), b"ready\n")
        for _ in range(8):
            self.look(target.pid)
        target.stdin.close()
        self.assertEqual(target.wait(timeout=BOUND), 7)

    def test_goes_on_undisturbed(self):
        target = self.start(sys.executable, "-c", BUSY, stdin=subprocess.PIPE)
        self.look_some_times(target)
        self.assertEqual(target.stdout.read(), b"b'' True\n")

    def test_no_signal_is_lost(self):
        target = self.start(program("counted_signals"), stdin=subprocess.PIPE)
        self.look_some_times(target)
        self.assertEqual(target.stdout.read(), b"whole\n")

    def test_running_threads(self):
        target = self.start(program("steady_progress"), "3", "60")
        target.stdout.readline()
        look = self.look(target.pid)
        self.assertEqual([thread["state"] for thread in look["threads"]].count("R"), 3)
        self.assertTrue(any("programs::step" in " ".join(functions(thread)) or "main::" in " ".join(functions(thread)) for thread in look["threads"]), look)
        self.assertRegex(look["notes"][0], r"^the process was stopped for \d")

    def test_lock_of_a_file_that_another_process_has(self):
        path = self.path("locked")
        with open(path, "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            target = self.start(sys.executable, "-c", f"import fcntl; fcntl.flock(open({path!r}), fcntl.LOCK_EX)")
            thread = self.until(lambda: (threads := self.look(target.pid)["threads"])[0]["call"] == "flock" and threads)[0]
            self.assertEqual(thread["object"], f"{path}, held by process {os.getpid()}")
        self.assertEqual(target.wait(timeout=BOUND), 0)

    def test_thread_that_cannot_be_stopped(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        target = self.start(sys.executable, "-c", IN_THE_KERNEL, fifo)
        inside = self.until(lambda: [thread for thread in self.look(target.pid)["threads"] if thread["state"] == "D"])
        self.assertEqual([(thread["call"], thread["frames"]) for thread in inside], [("clone3", [])])
        self.assertIn("cannot be interrupted", inside[0]["stack_note"])
        with open(fifo, "wb"):
            self.assertEqual(target.wait(timeout=BOUND), 0)

    def test_output(self):
        target = self.start("/bin/sleep", "100")
        path = self.path("stacks.json")
        for options, status in (([], 0), ([], 1), (["--force"], 0)):
            done = run([TAILBACK, "stacks", "--json", path, *options, str(target.pid)], timeout=BOUND)
            self.assertEqual(done.status, status, done.stderr)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["pid"], target.pid)
        self.assertIn(b"clock_nanosleep", run([TAILBACK, "stacks", "--full", str(target.pid)], timeout=BOUND).stdout)

    def test_what_cannot_be_looked_at(self):
        for wrong in ("", "sleep", "12x", "-- -5", "0"):
            self.refused(*wrong.split(), status=2)
        self.assertIn("there is no process 999999999", self.refused("999999999"))
        ended = self.start("/bin/true")
        self.until(lambda: state_of(ended.pid) == "Z")
        self.assertIn("has ended", self.refused(str(ended.pid)))
        target = self.start(program("deadlocks"), "pair")
        thread = self.until(lambda: [tid for tid in os.listdir(f"/proc/{target.pid}/task") if int(tid) != target.pid])[0]
        self.assertIn(f"try: tailback stacks {target.pid}", self.refused(thread))

    def test_32_bit_program(self):
        code = bytes([0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7])  # pause, for ever
        base, start = 0x8048000, 84
        header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, base + start, 52, 0, 0, 52, 32, 1, 40, 0, 0)
        segment = struct.pack("<IIIIIIII", 1, 0, base, base, start + len(code), start + len(code), 5, 4096)
        path = self.path("small")
        with open(path, "wb") as file:
            file.write(header + segment + code)
        os.chmod(path, 0o755)
        try:
            target = self.start(path)
        except OSError:
            self.skipTest("this kernel runs no 32-bit programs")
        self.assertIn("(small) is a 32-bit program, which is not supported", self.refused(str(target.pid)))

    def test_first_thread_ended_before_the_others(self):
        target = self.start(sys.executable, "-c", FIRST_ENDS)
        self.until(lambda: state_of(target.pid) == "Z")
        first, other = self.look(target.pid)["threads"]
        self.assertEqual((first["tid"], first["state"], first["frames"]), (target.pid, "Z", []))
        self.assertEqual(other["call"], "clock_nanosleep")
        self.assertTrue(any("sleep" in function for function in functions(other)), other)

    def test_process_that_is_traced(self):
        target = self.start("/bin/sleep", "100")
        seize = 0x4206
        self.assertEqual(ctypes.CDLL(None, use_errno=True).ptrace(seize, target.pid, None, None), 0)
        said = self.refused(str(target.pid))
        self.assertIn(f"is traced already, by process {os.getpid()} (", said)

    def test_process_of_another_user(self):
        if os.getuid() != 0:
            self.assertIn("run this as the user who started it, or as root", self.refused("1"))
            return
        target = self.start("/bin/sleep", "100")
        if run(["/bin/sh", "-c", f"test -x {TAILBACK}"], preexec=lambda: os.setuid(65534)).status != 0:
            self.skipTest("another user cannot reach the built command")
        self.assertIn("run this as the user who started it, or as root", self.refused(str(target.pid), preexec=lambda: os.setuid(65534)))

    def test_thread_of_the_kernel(self):
        if not os.path.exists("/proc/2") or os.path.exists("/proc/2/exe"):
            self.skipTest("no thread of the kernel is in sight")
        self.assertIn("is a thread of the kernel", self.refused("2"))


if __name__ == "__main__":
    unittest.main()

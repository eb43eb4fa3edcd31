# SPDX-License-Identifier: Apache-2.0
"""Pauses made from outside and from inside are told with their cause and their length; a program that has none is told none."""
import os
import shutil
import signal
import subprocess
import time
import unittest

import raw_records
from recording import SKIPPED, TAILBACK, Scratch, clean_environment, find_program, preload_environment, program, report, run

BUSY = "import sys, threading, time\nend = time.time() + 4\nif len(sys.argv) > 1: threading.Thread(target=time.sleep, args=(4,)).start()\nx = 0\nwhile time.time() < end:\n    for i in range(50_000): x += i"
COLLECT = """
import gc, os, time
seen = [0.0]
def note(phase, info):
    if phase == "start": seen.append(time.perf_counter())
    else: seen[0] += time.perf_counter() - seen.pop()
gc.callbacks.append(note)
keep, end = [], time.time() + 3
while time.time() < end and len(keep) < 5_000_000: keep.append([len(keep)])
gc.disable()
print(seen[0], flush=True)
os._exit(0)  # what the interpreter collects at its end, nobody is told
"""
COLLECT_IN_NODE = """
const keep = []; const end = Date.now() + 3000; let i = 0;
while (Date.now() < end) { keep.push({a: i, b: [i, i + 1], c: "x" + i}); if (keep.length > 2000000) keep.splice(0, 1000000); i++; }
"""
COLLECT_IN_JAVA = """
import java.util.*;
public class Collect {
  public static void main(String[] arguments) {
    List<Object> keep = new ArrayList<>();
    for (long end = System.currentTimeMillis() + 4000; System.currentTimeMillis() < end;) {
      for (int i = 0; i < 1000; i++) keep.add(new Object[]{new byte[100], Integer.valueOf(i)});
      if (keep.size() > 600000) keep.subList(0, 300000).clear();
    }
    long ms = 0;
    for (var one : java.lang.management.ManagementFactory.getGarbageCollectorMXBeans()) ms += one.getCollectionTime();
    System.out.println(ms);
  }
}
"""
QUOTA_GROUPS = "/sys/fs/cgroup/cpu"


def pauses_of(data, cause):
    return next((row for row in data["pauses"] if row["cause"] == cause), None)


class PausesTest(Scratch):
    def stop_and_go_on(self, pid, seconds=0.3, times=4):
        total = 0.0
        for _ in range(times):
            begun = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
            total += time.monotonic() - begun
            time.sleep(0.3)
        return total

    def assert_stopped(self, data, total, exactly):
        row = pauses_of(data, "stopped")
        self.assertIsNotNone(row, data["pauses"])
        self.assertAlmostEqual(row["total_seconds"], total, delta=exactly * total)
        first = data["findings"][0]
        self.assertEqual((first["rule"], first["cause"], first["severity"]), ("pause", "stopped", "high"))

    def test_stopped_under_the_launcher(self):
        """A program with one thread: the launcher sees it."""
        dump = self.path(self.fresh_name())
        with subprocess.Popen([TAILBACK, "record", "-q", "-o", dump, "--", find_program("python3"), "-c", BUSY], env=clean_environment(), cwd=self.folder) as recorder:
            time.sleep(0.7)
            with open(f"/proc/{recorder.pid}/task/{recorder.pid}/children", encoding="ascii") as children:
                child = int(children.read().split()[0])
            total = self.stop_and_go_on(child)
            self.assertEqual(recorder.wait(timeout=30), 0)
        self.assert_stopped(report(dump), total, 0.05)

    def test_stopped_without_a_launcher(self):
        """With a second thread the agent's own sees it."""
        dump = self.path(self.fresh_name())
        with subprocess.Popen([find_program("python3"), "-c", BUSY, "two"], env=preload_environment(dump), cwd=self.folder) as child:
            time.sleep(0.9)
            total = self.stop_and_go_on(child.pid)
            self.assertEqual(child.wait(timeout=30), 0)
        self.assert_stopped(report(dump), total, 0.1)  # each beginning is known to 10 ms

    def test_collections_of_python(self):
        done, dump = self.record([find_program("python3"), "-c", COLLECT])
        data = report(dump)
        row = pauses_of(data, "gc")
        self.assertIsNotNone(row, data["pauses"])
        self.assertEqual(row["runtime"], "CPython")
        own = float(done.stdout)
        self.assertAlmostEqual(row["total_seconds"], own, delta=max(0.15 * own, 0.1))  # by samples
        self.assertTrue(any(finding["rule"] == "pause" and finding["cause"] == "gc" for finding in data["findings"]), data["findings"])

    def test_collections_of_boehm(self):
        """A stripped library: told by how deep its own calls go."""
        done, dump = self.record([program("collected")])
        if done.status == SKIPPED:
            self.skipTest("no libgc")
        data = report(dump)
        row = pauses_of(data, "gc")
        self.assertIsNotNone(row, data["pauses"])
        self.assertEqual(row["runtime"], "the Boehm collector")
        own = float(done.stdout) * 1e-3
        self.assertAlmostEqual(row["total_seconds"], own, delta=max(0.2 * own, 0.1))

    def test_collections_of_node(self):
        node = shutil.which("node", path="/usr/bin")
        if node is None:
            self.skipTest("no node")
        _, dump = self.record([node, "-e", COLLECT_IN_NODE])
        row = pauses_of(report(dump), "gc")
        self.assertIsNotNone(row)
        self.assertEqual(row["runtime"], "V8")

    def test_collections_of_java(self):
        """With one thread that collects, and with several that the one waits for."""
        java = shutil.which("java")
        if java is None or shutil.which("javac") is None:
            self.skipTest("no JDK")
        with open(self.path("Collect.java"), "w", encoding="ascii") as source:
            source.write(COLLECT_IN_JAVA)
        for collector in ("Serial", "Parallel", "G1"):
            with self.subTest(collector=collector):
                done, dump = self.record([java, f"-XX:+Use{collector}GC", "-Xmx300m", self.path("Collect.java")])
                row = pauses_of(report(dump), "stop-the-world")
                self.assertIsNotNone(row)
                self.assertEqual(row["runtime"], "HotSpot")
                own = float(done.stdout) * 1e-3
                self.assertAlmostEqual(row["total_seconds"], own, delta=max(0.25 * own, 0.1))

    def planted(self, kind, cause):
        done, dump = self.record([program("stands_still"), kind])
        own = dict(part.split("=") for part in done.stdout.decode().split())
        data = report(dump)
        row = pauses_of(data, cause)
        self.assertIsNotNone(row, (own, data["pauses"]))
        self.assertAlmostEqual(row["count"], int(own["count"]), delta=1)  # at the end of the service it is not known to the moment
        return row, float(own["seconds"]) * row["count"] / int(own["count"])

    def test_fork(self):
        row, own = self.planted("fork", "fork")
        self.assertAlmostEqual(row["total_seconds"], own, delta=0.05 * own)

    def test_unmap(self):
        row, own = self.planted("unmap", "allocator-trim")
        self.assertAlmostEqual(row["total_seconds"], own, delta=0.05 * own)

    def test_free(self):
        row, own = self.planted("free", "mass-free")
        self.assertAlmostEqual(row["total_seconds"], own, delta=max(0.15 * own, 0.03))  # by samples

    def test_world_stopped_by_an_unknown_runtime(self):
        done, dump = self.record([program("stands_still"), "world"])
        own = dict(part.split("=") for part in done.stdout.decode().split())
        data = report(dump)
        row = pauses_of(data, "stop-the-world")
        self.assertIsNotNone(row, (own, data["pauses"]))
        self.assertGreaterEqual(row["count"], int(own["count"]) - 4)  # the first comes before it is known that the program is busy; some looks come late
        self.assertAlmostEqual(row["total_seconds"] / row["count"], float(own["seconds"]) / int(own["count"]), delta=0.02)  # looked at each 20 ms
        self.assertTrue(any("collect" in frame["function"] for frame in row["frames"]), row["frames"])

    def test_quota(self):
        group = os.path.join(QUOTA_GROUPS, f"tailback_test_{os.getpid()}")
        try:
            os.mkdir(group)
            with open(os.path.join(group, "cpu.cfs_quota_us"), "w", encoding="ascii") as quota:
                quota.write("40000")
        except OSError as error:
            self.skipTest(f"no cgroup with a quota can be made: {error}")
        self.addCleanup(os.rmdir, group)
        dump = self.path(self.fresh_name())

        def enter():
            with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as members:
                members.write(str(os.getpid()))

        done = run([find_program("python3"), "-c", BUSY], env=preload_environment(dump), cwd=self.folder, preexec=enter)
        self.assertEqual(done.status, 0, done.stderr)
        data = report(dump)
        first = data["findings"][0]
        self.assertEqual((first["rule"], first["cause"]), ("pause", "throttled"))
        evidence = {one["label"]: one["value"] for one in first["evidence"]}
        self.assertAlmostEqual(evidence["quota"], 0.4, delta=0.001)
        self.assertAlmostEqual(evidence["quota that would do"], 1, delta=0.2)

    def test_no_pauses(self):
        for command in ([program("stands_still"), "nothing"], [program("stands_still"), "idle"], [find_program("python3"), "-c", "print(sum(range(10**6)))"]):
            with self.subTest(command=command):
                _, dump = self.record(command)
                data = report(dump)
                self.assertEqual([finding for finding in data["findings"] if finding["rule"] == "pause" and finding["severity"] != "low"], [])
                # A collection at an interpreter's start or end is none, though a sample may fall into it.
                self.assertEqual([row["cause"] for row in data["pauses"] if row["cause"] not in ("cpu-starvation", "unknown") and (row["pauses"] or row["total_seconds"] >= 0.05)], [])

    def test_the_sentinel_rests_while_the_program_does(self):
        """Its thread wakes a few times a second, once the program is idle."""
        most = 12  # four ticks, and what detail windows take
        with subprocess.Popen([program("stands_still"), "idle"], env=preload_environment(self.path(self.fresh_name())), cwd=self.folder, stdout=subprocess.DEVNULL) as child:
            time.sleep(1)
            before, begun = self.switches_of_agent(child.pid), time.monotonic()
            time.sleep(1.5)
            after, seconds = self.switches_of_agent(child.pid), time.monotonic() - begun
            self.assertEqual(child.wait(timeout=30), 0)
        self.assertLess((after - before) / seconds, most)

    def switches_of_agent(self, pid):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as status:
                fields = dict(line.split(":", 1) for line in status)
            if fields["Name"].strip() == "tailback":
                return int(fields["voluntary_ctxt_switches"])
        raise AssertionError("the agent has no thread")

    def test_redis_saves_in_the_background(self):
        server = shutil.which("redis-check-rdb")
        if server is None:
            self.skipTest("no redis")
        dump = self.path(self.fresh_name())
        socket = self.path("redis.sock")
        link = self.path("redis-server")
        os.symlink(server, link)
        environment = preload_environment(dump)
        with subprocess.Popen([link, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", self.folder, "--enable-debug-command", "yes"], env=environment, cwd=self.folder,
                              stdout=subprocess.DEVNULL) as redis:
            def ask(*words):
                return run([find_program("redis-cli"), "-s", socket, *words]).stdout.decode()
            end = time.monotonic() + 20
            while not os.path.exists(socket) and time.monotonic() < end:
                time.sleep(0.05)
            ask("DEBUG", "POPULATE", "3000000", "key", "100")
            for _ in range(2):
                run([find_program("redis-cli"), "-s", socket, "-r", "400", "-i", "0.001", "PING"])
                ask("BGSAVE")
                time.sleep(1)
                while "rdb_bgsave_in_progress:1" in ask("INFO", "persistence") and time.monotonic() < end + 60:
                    time.sleep(0.2)
            own = int(next(line.split(":")[1] for line in ask("INFO", "stats").splitlines() if line.startswith("latest_fork_usec"))) * 1e-6
            ask("SHUTDOWN", "NOSAVE")
            self.assertEqual(redis.wait(timeout=30), 0)
        data = report(dump)
        row = pauses_of(data, "fork")
        if own >= 0.02:
            self.assertIsNotNone(row, (own, data["pauses"]))
            self.assertGreaterEqual(row["longest_seconds"], 0.9 * own)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Thread pools of libraries that none of us wrote are found, and judged by what their tasks do."""
import json
import os
import subprocess
import time
import unittest

from recording import TAILBACK, Scratch, find_program, preload_environment, program, report, run

BOUND = 60  # seconds

# Key derivation computes: libuv's four threads take all the CPUs there are.
DERIVE = """
const crypto = require('crypto');
let left = 40;
for (let i = 0; i < 40; i++) crypto.pbkdf2('secret', 'salt', 120000, 64, 'sha512', () => { if (--left === 0) console.log('done'); });
"""
# Opening a pipe waits for who writes: libuv's four threads stand still, one behind the other.
OPEN = """
const fs = require('fs');
let left = 16;
for (let i = 0; i < 16; i++) fs.readFile('pipe' + i, () => { if (--left === 0) console.log('done'); });
"""


class PoolsTest(Scratch):
    def recorded(self, command, timeout=BOUND):
        dump = self.path(self.fresh_name())
        done = run(command, cwd=self.folder, env=preload_environment(dump), timeout=timeout)
        self.assertEqual(done.status, 0, done.stderr)
        return done.stdout, report(dump)

    def finding(self, result, rule):
        found = [finding for finding in result["findings"] if finding["rule"] == rule]
        self.assertEqual(len(found), 1, [(finding["rule"], finding["title"]) for finding in result["findings"]])
        return found[0]

    def pool_of(self, result, threads):
        self.assertIn(threads, [pool["threads"] for pool in result["pools"]], result["pools"])
        return next(pool for pool in result["pools"] if pool["threads"] == threads)

    def test_libuv_computing(self):
        output, result = self.recorded([find_program("node"), "-e", DERIVE])
        self.assertEqual(output, b"done\n")
        self.assertGreater(self.pool_of(result, 4)["utilization"], 0.9)
        finding = self.finding(result, "pool-saturated")
        if result["target"]["cpus"] < 4:
            self.assertEqual((finding["severity"], finding["gain"]["fraction"]), ("info", 0))
            self.assertIn("more threads would bring nothing", finding["title"])

    def test_libuv_waiting(self):
        for i in range(16):
            os.mkfifo(self.path(f"pipe{i}"))
        writer = subprocess.Popen(["/bin/sh", "-c", "for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do (sleep 0.1; echo x > pipe$i); done"], cwd=self.folder)
        try:
            output, result = self.recorded([find_program("node"), "-e", OPEN])
        finally:
            writer.kill()
            writer.wait()
        self.assertEqual(output, b"done\n")
        finding = next(finding for finding in result["findings"] if finding["rule"] in ("pool-saturated", "pool-blocking-task"))
        self.assertIn("fs_open", finding["culprit"]["function"])
        self.assertIn("UV_THREADPOOL_SIZE", " ".join(finding["advice"]))

    def test_asio(self):
        output, result = self.recorded([program("asio_pool"), "2"])
        self.assertEqual(output, b"300\n")
        self.assertIn("load_page", self.finding(result, "pool-saturated")["culprit"]["function"])
        self.assertGreater(self.pool_of(result, 2)["utilization"], 0.7)
        _, result = self.recorded([program("asio_pool"), "12"])
        self.assertNotIn("pool-saturated", [finding["rule"] for finding in result["findings"]])
        pool = self.pool_of(result, 12)
        self.assertAlmostEqual(pool["tasks"], 300, delta=15)
        self.assertAlmostEqual(pool["service_seconds"], 0.015, delta=0.01)

    def test_a_peer_that_serves_one_at_a_time(self):
        _, result = self.recorded([program("queued_backend"), "one"])
        finding = self.finding(result, "pool-saturated")
        self.assertEqual((finding["severity"], finding["gain"]["fraction"]), ("info", 0))
        self.assertIn("hardly more of them at a time", finding["title"])
        _, result = self.recorded([program("queued_backend"), "all"])
        self.assertNotIn("hardly more", " ".join(finding["title"] for finding in result["findings"]))

    def test_openmp(self):
        for way, rule in (("static", "cpu-load-imbalance"), ("rounds", "cpu-load-imbalance"), ("short", "cpu-load-imbalance"), ("serial", "cpu-single-threaded")):
            _, result = self.recorded([program("openmp_loop"), way])
            if result["target"]["cpus"] < 2:
                self.skipTest("one CPU shares nothing")
            self.assertEqual(result["findings"][0]["rule"], rule, way)
            self.assertIn("sum_row", result["findings"][0]["culprit"]["function"])
        _, result = self.recorded([program("openmp_loop"), "dynamic"])
        self.assertEqual({"cpu-load-imbalance", "cpu-single-threaded"} & {finding["rule"] for finding in result["findings"]}, set())

    def test_tasks_that_wait_for_their_own_pool_for_ever(self):
        dump = self.path(self.fresh_name())
        with subprocess.Popen([program("waiting_tasks")], cwd=self.folder, env=preload_environment(dump), stdin=subprocess.DEVNULL) as process:
            try:
                time.sleep(4)
                self.assertIsNone(process.poll())
                answer = self.path("answer.json")
                done = run([TAILBACK, "dump", "--quiet", "--json", answer, str(process.pid)], timeout=BOUND)
                self.assertEqual(done.status, 0, done.stderr)
            finally:
                process.kill()
        with open(answer, encoding="utf-8") as file:
            first = json.load(file)["findings"][0]
        self.assertEqual((first["rule"], first["severity"], first["gain"]["metric"]), ("pool-deadlock", "critical", "availability"))
        self.assertIn("build_page", first["culprit"]["function"])


if __name__ == "__main__":
    unittest.main()

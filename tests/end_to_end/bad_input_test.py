# SPDX-License-Identifier: Apache-2.0
"""Any bytes at all as input of `tailback report`: a clear error or a partial report, never a crash, a hang or much memory."""
import json
import os
import random
import resource
import unittest

import raw_records
from recording import LONG, Scratch, TAILBACK, clean_environment, find_program, program, report, run

BLOCK, HEADER = 64 * 1024, 4096


def bounded():
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class BadInputTest(Scratch):
    @classmethod
    def setUpClass(cls):
        cls.random = random.Random(20260101)
        cls.rounds = 2000 if LONG else 60

    def good_dump(self):
        _, dump = self.record([program("short_threads"), "50", "10000", "4"], name="good.tbk")
        with open(dump, "rb") as source:
            return source.read()

    def judge(self, content, what):
        path = self.path("input.tbk")
        with open(path, "wb") as out:
            out.write(content)
        done = run([TAILBACK, "report", "--json", "-", path], timeout=30, preexec=bounded)
        self.assertIn(done.status, (0, 1), f"{what}: status {done.status}, {done.stderr[-300:]!r}")
        if done.status == 1:
            self.assertIn(b"input.tbk", done.stderr, f"{what}: the message does not name the file")
            self.assertEqual(done.stdout, b"", what)
        else:
            self.assertEqual(json.loads(done.stdout)["schema"], "tailback.report/1", what)
        return done.status

    def test_no_dump_at_all(self):
        for content, what in ((b"", "empty"), (b"\n", "a line"), (b"TAILBACK", "magic only"), (bytes(HEADER + BLOCK), "zeros"),
                              (b"\xff" * (HEADER + 2 * BLOCK), "ones")):
            self.assertEqual(self.judge(content, what), 1, what)

    def test_random_bytes(self):
        for number in range(self.rounds // 3):
            self.judge(self.random.randbytes(self.random.choice((1, 100, HEADER, HEADER + BLOCK, 3 * BLOCK))), f"random {number}")

    def test_random_records_in_a_good_frame(self):
        good = self.good_dump()
        for number in range(self.rounds // 3):
            noise = self.random.randbytes(2000)
            content = bytearray(good)
            content[HEADER + 32:HEADER + 32 + len(noise)] = noise
            content[HEADER + 12:HEADER + 16] = bytes(4)  # an open block: no checksum protects the noise
            self.judge(bytes(content), f"noise {number}")

    def test_truncated(self):
        good = self.good_dump()
        lengths = {0, 1, HEADER - 1, HEADER, HEADER + 1, HEADER + 31, HEADER + 32, len(good) - 1}
        lengths.update(self.random.randrange(len(good)) for _ in range(self.rounds))
        statuses = [self.judge(good[:length], f"cut to {length} of {len(good)}") for length in sorted(lengths)]
        self.assertIn(0, statuses, "not one cut dump gave a partial report")

    def test_flipped_bits(self):
        good = self.good_dump()
        for _ in range(self.rounds):
            content = bytearray(good)
            for _ in range(self.random.choice((1, 8, 200))):
                content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
            self.judge(bytes(content), "flipped bits")

    def test_cut_dump_is_not_called_complete(self):
        cut = self.path("cut.tbk")
        _, dump = self.record([program("waiting_threads"), "2000", "0.1"])
        end = raw_records.block_with(dump, "session_end")
        self.assertGreaterEqual(end, 1, "the dump is too small to be cut between its blocks")
        with open(dump, "rb") as whole, open(cut, "wb") as out:
            out.write(whole.read(HEADER + BLOCK * end))
        data = report(cut)
        self.assertFalse(data["target"]["complete"])
        self.assertGreater(data["summary"]["cpu_seconds"], 0)

    def test_what_is_no_file(self):
        for path in (self.path("missing.tbk"), self.folder, "/dev/null"):
            done = run([TAILBACK, "report", "--json", "-", path], timeout=30)
            self.assertEqual(done.status, 1, path)
            self.assertIn(path.encode(), done.stderr)

    def test_unreadable_file(self):
        path = self.path("locked.tbk")
        with open(path, "wb") as out:
            out.write(self.good_dump())
        os.chmod(path, 0)
        os.chmod(self.folder, 0o755)
        done = run([TAILBACK, "report", path], preexec=lambda: os.setuid(65534) if os.getuid() == 0 else None)
        self.assertEqual(done.status, 1, done.stderr)
        self.assertIn(b"locked.tbk", done.stderr)

    def test_one_bad_among_good(self):
        self.good_dump()
        with open(self.path("bad.tbk"), "wb") as out:
            out.write(b"nothing")
        done = run([TAILBACK, "report", "--json", "-", self.path("bad.tbk"), self.path("good.tbk")])
        said = done.stderr.decode() + " ".join(json.loads(done.stdout)["recording"]["notes"] if done.status == 0 else [])
        self.assertIn(done.status, (0, 1))
        self.assertIn("bad.tbk", said)


class WrongUseTest(Scratch):
    def status(self, *arguments):
        done = run([TAILBACK, *arguments], cwd=self.folder, env=clean_environment())
        if done.status not in (0, 3):
            self.assertTrue(done.stderr.strip(), arguments)
            self.assertEqual(done.stdout, b"", arguments)
        return done.status

    def test_statuses(self):
        with open(self.path("text"), "w", encoding="utf-8") as out:
            out.write("no program\n")
        self.assertEqual(self.status("record", "--", "no-such-program-anywhere"), 127)
        self.assertEqual(self.status("record", "--", self.path("missing")), 127)
        self.assertEqual(self.status("record", "--", self.path("text")), 126)
        self.assertEqual(self.status("record", "--", self.folder), 126)
        self.assertEqual(self.status("record"), 2)
        self.assertEqual(self.status("record", "--no-such-option", "--", "true"), 2)
        self.assertEqual(self.status("record", "-F", "many", "--", "true"), 2)
        self.assertEqual(self.status("report"), 2)
        self.assertEqual(self.status("no-such-command"), 2)
        self.assertEqual(self.status("record", "-o", self.path("no/folder/x.tbk"), "--", find_program("true")), 125)
        self.assertEqual(self.status("--help"), 0)
        self.assertEqual(self.status("--version"), 0)

    def test_fail_on(self):
        _, dump = self.record([program("steady_progress"), "1", "1.5"])
        severities = {finding["severity"] for finding in report(dump)["findings"]}
        self.assertTrue(severities)
        self.assertEqual(self.status("report", "--json", self.path("r.json"), "--fail-on", "info", dump), 3)
        self.assertEqual(self.status("report", "--json", self.path("s.json"), "--fail-on", "critical", dump), 3 if "critical" in severities else 0)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Event loops of real servers: the command that keeps redis-server from its next wait is named, so is what a handler of node computes; loops
that only have much to do are in the table and nothing is said of them."""
import http.client
import os
import shutil
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "bench"), os.path.join(HERE, "..", "compatibility")]
import servers_under_load  # noqa: E402
import ways  # noqa: E402
from recording import UNPACKED, Scratch, find_program, preload_environment, report, run  # noqa: E402

BOUND, ATTEMPTS = 60, 3
TOLD = "event-loop-blocked"


def is_installed(name):
    return shutil.which(name, path=f"/usr/bin:/bin:/usr/sbin:{UNPACKED}/usr/bin:{UNPACKED}/usr/sbin") is not None


class Preloaded(ways.Way):
    """A server with the library preloaded; its dump is `dump`."""

    def __init__(self, dump):
        super().__init__("preloaded", [])
        self.dump = dump

    def variables(self, out):
        return {name: value for name, value in preload_environment(self.dump).items() if name.startswith("TAILBACK_") or name == "LD_PRELOAD"}


class RedisWithClients(servers_under_load.Redis):
    """redis-server under redis-benchmark; beside it somebody gives a command now and then."""

    def __init__(self, *command, times=12):
        super().__init__(1)
        self.given, self.times = command, times

    def command(self, folder, port):
        return super().command(folder, port) + ["--enable-debug-command", "yes"]

    def load(self, port, share):
        client = [find_program("redis-cli"), "-p", str(port)]
        run([*client, "debug", "populate", "200000"], timeout=BOUND)
        over = threading.Event()

        def give():
            for _ in range(self.times):
                if not over.wait(0.15):
                    run([*client, *self.given], timeout=BOUND)

        giver = threading.Thread(target=give if self.given else lambda: None)
        giver.start()
        try:
            return super().load(port, share)
        finally:
            giver.join()
            over.set()


HASHING_SERVER = """
const http = require('http'), crypto = require('crypto');
const server = http.createServer((request, response) => {
  if (request.url == '/hash') crypto.pbkdf2Sync('secret', 'salt', 120000, 64, 'sha512');
  if (request.url == '/end') setTimeout(() => process.exit(0), 50);
  response.end('answer');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


class EventLoopsTest(Scratch):
    def loop_of(self, data, call):
        loops = [loop for loop in data["event_loops"] if loop["call"] == call]
        self.assertTrue(loops, data["event_loops"])
        return loops[0]

    def served(self, load, share):
        dump = self.path(self.fresh_name())
        with servers_under_load.Server(load, Preloaded(dump)) as server:
            server.seen(share)
        return report(dump)

    def test_redis_names_the_slow_command(self):
        if not is_installed("redis-check-rdb"):
            self.skipTest("redis is not installed")
        slow_script = "local s = 0 for i = 1, 6000000 do s = s + i % 7 end return s"
        for command, function in ((("keys", "key:1234*"), "keysCommand"), (("debug", "sleep", "0.05"), "debugCommand"), (("eval", slow_script, "0"), "evalGenericCommand")):
            with self.subTest(command=command[0]):
                for _ in range(ATTEMPTS):  # what a handler does is sampled: a machine that others take away says little
                    data = self.served(RedisWithClients(*command), 2)
                    told = self.findings(data, TOLD)
                    if [finding["culprit"]["function"] for finding in told] == [function]:
                        break
                self.assertEqual([finding["culprit"]["function"] for finding in told], [function])
                figures = {one["label"]: one["value"] for one in told[0]["evidence"]}
                self.assertGreaterEqual(figures["times"], 10)
                self.assertGreater(figures["descriptors that waited, mean"], 5)
                self.assertEqual(told[0]["gain"]["metric"], "latency")
                self.assertGreater(self.loop_of(data, "epoll_wait")["long_turns"], 9)

    def test_redis_under_load_alone(self):
        if not is_installed("redis-check-rdb"):
            self.skipTest("redis is not installed")
        data = self.served(RedisWithClients(), 2)
        self.assertEqual(self.findings(data, TOLD), [])
        loop = self.loop_of(data, "epoll_wait")
        self.assertGreater(loop["turns"], 10000)
        self.assertGreater(loop["busy_seconds"], 0)
        self.assertLessEqual(loop["busy_seconds"] + loop["waiting_seconds"], loop["seconds"] * 1.001)

    def test_nginx_under_load(self):
        load = servers_under_load.Nginx()
        if servers_under_load.missing(load):
            self.skipTest("nginx or wrk is not installed")
        self.served(load, 1)
        for dump in self.dumps():
            self.assertEqual(self.findings(report(dump), TOLD), [])

    def test_node_hashing_in_a_handler(self):
        if not is_installed("node"):
            self.skipTest("node is not installed")
        script, dump = self.path("server.js"), self.path(self.fresh_name())
        with open(script, "w", encoding="ascii") as out:
            out.write(HASHING_SERVER)
        with subprocess.Popen([find_program("node"), script], env=preload_environment(dump), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as server:
            try:
                port = int(server.stdout.readline())
                askers = [threading.Thread(target=self.ask, args=(port, "/", 400)) for _ in range(4)] + [threading.Thread(target=self.ask, args=(port, "/hash", 12))]
                for asker in askers:
                    asker.start()
                for asker in askers:
                    asker.join()
                self.ask(port, "/end", 1)
                server.wait(timeout=BOUND)
            finally:
                if server.poll() is None:
                    server.kill()
        data = report(dump)
        told = self.findings(data, TOLD)
        self.assertEqual(len(told), 1, told)
        frames = [frame["function"] for stack in told[0]["stacks"] for frame in stack["frames"]]
        # The digest is assembly without unwind tables in some builds of node: its callers are not known then.
        self.assertTrue(any("pbkdf2" in name.lower() or "sha512" in name.lower() for name in frames), frames)
        self.assertTrue(any("computing" in one["value"] for one in told[0]["evidence"] if one["label"] == "what it was doing"))

    def ask(self, port, path, times):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND)
        for _ in range(times):
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()

    def test_who_polls_now_and_then_is_no_loop(self):
        text = ("import select, socket, time\na, b = socket.socketpair()\nwatch = select.poll()\nwatch.register(a, select.POLLIN)\n"
                "for _ in range(200):\n  watch.poll(1)\n  sum(range(20000))\n")
        for program in (["/usr/bin/python3", "-c", text], ["/bin/sh", "-c", "for i in 1 2 3; do ls / >/dev/null; done"]):
            with self.subTest(program=program[0]):
                done, dump = self.preload(program)
                self.assertEqual(done.status, 0, done.stderr)
                for one in [dump] if os.path.exists(dump) else []:
                    data = report(one)
                    self.assertEqual((data["event_loops"], self.findings(data, TOLD)), ([], []))


if __name__ == "__main__":
    unittest.main()

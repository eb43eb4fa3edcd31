# SPDX-License-Identifier: Apache-2.0
"""redis-server, nginx and memcached on loopback under load: requests a second and the 99th percentile of their times.
Servers are told to end and waited for; what does not end is killed by its id."""
import csv
import os
import re
import signal
import socket
import subprocess
import sys

import ways

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "compatibility")]
import servers  # noqa: E402
from recording import BUILD, clean_environment, find_program, run, wait  # noqa: E402

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Seen:
    """What a client saw of a server."""

    def __init__(self, requests_per_second, p99_ms):
        self.requests_per_second, self.p99_ms = requests_per_second, p99_ms


class Redis:
    def __init__(self, pipelined):
        self.name, self.pipelined = f"redis-server, -P {pipelined}", pipelined
        self.needs = ["redis-check-rdb", "redis-benchmark", "redis-cli"]

    def command(self, folder, port):
        server = os.path.join(folder, "redis-server")  # the server is this binary under another name
        os.symlink(find_program("redis-check-rdb"), server)
        return [server, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--loglevel", "warning", "--save", ""]

    def load(self, port, share):
        count = max(2000, int((300000 if self.pipelined > 1 else 100000) * share))
        done = run([find_program("redis-benchmark"), "-p", str(port), "-t", "set", "-n", str(count), "-c", "20", "-r", "10000",
                    "-P", str(self.pipelined), "--csv"], timeout=300)
        row = list(csv.DictReader(done.stdout.decode().splitlines()))[-1]
        return Seen(float(row["rps"]), float(row["p99_latency_ms"]))

    def end(self, process, port, folder):
        run([find_program("redis-cli"), "-p", str(port), "shutdown", "nosave"])


class Nginx:
    name, needs = "nginx under wrk", ["nginx", "wrk"]

    def __init__(self, workers=1, settings="", page_lines=50):
        self.workers, self.settings, self.page_lines = workers, settings, page_lines

    def command(self, folder, port):
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(folder, "page"), "w", encoding="ascii") as out:
            out.write("a page of some length\n" * self.page_lines)
        os.chmod(folder, 0o755)  # its worker gives up root
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as out:
            out.write(f"worker_processes {self.workers}; daemon off; user www-data; events {{}}\n"
                      f"pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n"
                      f"http {{ access_log off; keepalive_requests 1000000; sendfile on; {self.settings} {temporary}\n"
                      f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n")
        return [find_program("nginx"), "-e", os.path.join(folder, "error.log"), "-c", os.path.join(folder, "nginx.conf")]

    def load(self, port, share):
        seconds = max(1, round(2 * share))
        done = run([find_program("wrk"), "-t1", "-c16", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/page"], timeout=60)
        text = done.stdout.decode()
        if "Non-2xx" in text:
            raise RuntimeError(f"nginx refused: {text}")
        slow, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
        return Seen(float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), float(slow) * UNITS_MS[unit])

    def end(self, process, port, folder):
        with open(os.path.join(folder, "nginx.pid"), encoding="ascii") as source:
            os.kill(int(source.read()), signal.SIGQUIT)


class Memcached:
    name, needs = "memcached, 4 threads", ["memcached"]

    def command(self, folder, port):
        return [find_program("memcached"), "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-t", "4", "-m", "64", "-A"]

    def load(self, port, share):
        client = os.path.join(BUILD, "tests", "bench", "memcached_load")
        done = run([client, str(port), "16", str(max(2000, int(150000 * share)))], timeout=300)
        if done.status != 0:
            raise RuntimeError(f"memcached_load ended with {done.status}: {done.stderr.decode()}")
        words = done.stdout.split()
        return Seen(float(words[1]), float(words[3]))

    def end(self, process, port, folder):
        with socket.create_connection(("127.0.0.1", port)) as control:
            control.sendall(b"shutdown\r\n")  # -A: a signal would meet the tracer


LOADS = [Redis(1), Redis(16), Nginx(), Memcached()]


def missing(load):
    """Names of the programs that a load needs and this machine has not."""
    def there(name):
        try:
            return bool(find_program(name))
        except AssertionError:
            return False
    return [name for name in load.needs if not there(name)]


class Server:
    """A server started in some way, from the first request it can answer to its end. `cpu`: seconds it and its children took, known
    after the end."""

    def __init__(self, load, way):
        self.load, self.bench, self.port = load, ways.Bench(), servers.free_port()
        self.cpu = None
        folder, out = self.bench.folder, os.path.join(self.bench.folder, "out")
        command = way.command(load.command(folder, self.port), out)
        self.process = subprocess.Popen(command, cwd=folder, env=clean_environment(**way.variables(out)), start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        try:
            servers.wait_for_port(self.port, self.process)
        except AssertionError:
            self.__exit__(True)
            raise
        return self

    def seen(self, share):
        return self.load.load(self.port, share)

    def __exit__(self, failed, *_):
        try:
            if not failed:
                self.load.end(self.process, self.port, self.bench.folder)
                _, usage = wait(self.process, 60)
                self.cpu = usage.ru_utime + usage.ru_stime
        finally:
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.bench.__exit__()


def pairs(load, way, count, share):
    """[(seen with the way, seen bare), ...]: both servers are there all the time and are asked in turns, right after each other."""
    result = []
    with Server(load, ways.BARE) as bare, Server(load, way) as other:
        for one in (bare, other):
            one.seen(share / 10)  # code and data come into the caches
        for number in range(count):
            seen = {one: one.seen(share) for one in ((bare, other) if number % 2 == 0 else (other, bare))}
            result.append((seen[other], seen[bare]))
    return result

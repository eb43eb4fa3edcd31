# SPDX-License-Identifier: Apache-2.0
"""Servers: started, asked over a socket in the working folder or on loopback, told to reload where they can, and stopped. Each
function gets how to start a command and gives what a client saw, the exit status last."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import time

from recording import UNPACKED, find_program, run, wait


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for_port(port, process, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}; {process.args} gave {process.poll()}")


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    return wait(process, 30)[0]


def nginx(start, folder):
    """Master and two workers that give up root; a reload under load replaces the workers."""
    port = free_port()
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as out:
        out.write(f"worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n"
                  f"user www-data; events {{}} http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port};\n"
                  "location / { return 200 'fine\\n'; } } }\n")
    process = start([find_program("nginx"), "-e", os.path.join(folder, "error.log"), "-c", os.path.join(folder, "nginx.conf")])
    wait_for_port(port, process)
    load = [find_program("ab"), "-q", "-n", "4000", "-c", "8", f"http://127.0.0.1:{port}/"]
    seen = [run(load).stdout.split(b"Complete requests:")[1].split()[:4]]
    master = process.pid if not is_launcher(process) else child_of(process.pid)
    os.kill(master, signal.SIGHUP)
    time.sleep(0.5)
    seen.append(run(load).stdout.split(b"Complete requests:")[1].split()[:4])
    seen.append(run([find_program("curl"), "-s", f"http://127.0.0.1:{port}/"]).stdout)
    os.kill(master, signal.SIGQUIT)
    return [*seen, wait(process, 30)[0], open(os.path.join(folder, "error.log"), "rb").read()]


def is_launcher(process):
    return os.path.basename(process.args[0]) == "tailback"


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as source:
        return int(source.read().split()[0])


def redis(start, folder):
    server = os.path.join(folder, "redis-server")  # the server is this binary under another name
    os.symlink(find_program("redis-check-rdb"), server)
    port = free_port()
    process = start([server, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--io-threads", "2", "--loglevel", "warning", "--save", ""])
    wait_for_port(port, process)
    client = [find_program("redis-cli"), "-p", str(port)]
    seen = [run([*client, *words]).stdout for words in (["set", "k", "v"], ["get", "k"], ["incr", "n"], ["debug", "sleep", "0.1"],
            ["eval", "local s = 0 for i = 1, 1000000 do s = s + i end return s", "0"], ["save"], ["bgsave"])]
    deadline = time.monotonic() + 20
    while b"rdb_bgsave_in_progress:0" not in run([*client, "info", "persistence"]).stdout and time.monotonic() < deadline:
        time.sleep(0.05)  # a rewrite meanwhile would only be scheduled
    seen += [run([*client, *words]).stdout for words in (["bgrewriteaof"], ["nonsense"])]
    seen.append(run([find_program("redis-benchmark"), "-p", str(port), "-n", "20000", "-t", "set,lpush", "-q", "--csv"]).status)
    run([*client, "shutdown", "nosave"])
    return [*seen, wait(process, 30)[0]]


def memcached(start, folder):
    port = free_port()
    process = start([find_program("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "nobody", "-t", "4"])
    wait_for_port(port, process)
    seen = []
    with socket.create_connection(("127.0.0.1", port), 10) as one:
        for words, end in ((b"set a 0 0 5\r\nhello\r\n", b"STORED\r\n"), (b"get a\r\n", b"END\r\n"), (b"incr a 1\r\n", b"\r\n"), (b"flush_all\r\n", b"OK\r\n"), (b"get a\r\n", b"END\r\n")):
            one.sendall(words)
            answer = b""
            while not answer.endswith(end):
                answer += one.recv(4096)
            seen.append(answer)
    return [*seen, stop(process, signal.SIGINT)]


def postgres(start, folder):
    """initdb, a server with its processes, parallel queries, a checkpoint, a reload, a fast shutdown. Not as root."""
    programs = glob.glob(os.path.join(UNPACKED, "usr/lib/postgresql/*/bin/initdb"))
    if not programs:
        raise AssertionError("postgresql is missing: tools/packages/unpack")
    tree = os.path.join(os.path.dirname(folder), "postgres")  # the checkout may be closed to other users
    if not os.path.isdir(tree):
        shutil.copytree(os.path.join(UNPACKED, "usr"), tree, symlinks=True, ignore=shutil.ignore_patterns("doc", "locale", "nginx", "libtool"))
    binary = os.path.join(tree, os.path.relpath(os.path.dirname(programs[-1]), os.path.join(UNPACKED, "usr")))
    port, data = free_port(), os.path.join(folder, "data")
    os.chmod(folder, 0o777)
    os.chmod(os.path.dirname(folder), 0o755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    made = start([*as_nobody, os.path.join(binary, "initdb"), "-D", data, "-A", "trust", "--no-sync", "-U", "postgres"])
    seen = [wait(made, 120)[0]]
    process = start([*as_nobody, os.path.join(binary, "postgres"), "-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "log_min_messages=fatal"])
    wait_for_port(port, process)
    query = [os.path.join(binary, "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-At", "-c"]
    deadline = time.monotonic() + 30
    while run([*query, "select 1"]).status != 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    for words in ("create table t as select g, md5(g::text) m from generate_series(1, 100000) g", "select count(distinct m) from t", "checkpoint", "select pg_reload_conf()",
                  "set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; select sum(length(m)) from t", "select 1 / 0", "vacuum analyze t"):
        done = run([*query, words])
        seen.append((done.status, done.stdout, done.stderr))
    target = child_of(process.pid) if is_launcher(process) else process.pid
    os.kill(target, signal.SIGINT)
    return [*seen, wait(process, 60)[0]]


SERVERS = {"nginx": nginx, "redis-server": redis, "memcached": memcached, "postgres": postgres}

# SPDX-License-Identifier: Apache-2.0
"""What the agent's own thread takes of one CPU, its fetching of samples included, while programs are busy and while they are idle.
Limits: 0.5 % of one CPU while a program is busy, 0.1 % while it is idle."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from recording import preload_environment, program  # noqa: E402

BUSY, IDLE = 0.5, 0.1  # per cent
LOOP = "import threading, time\nend = time.time() + 60\ndef work():\n    while time.time() < end: sum(range(20_000))\n"
PROGRAMS = (  # what, command, limit
    ("python3, one thread of two busy", ["/usr/bin/python3", "-c", LOOP + "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nwork()"], BUSY),
    ("python3, 8 threads at work", ["/usr/bin/python3", "-c", LOOP + "for _ in range(8): threading.Thread(target=work, daemon=True).start()\nwork()"], BUSY),
    ("8 threads that compute", [program("steady_progress"), "8", "60"], BUSY),
    ("node, busy", ["/usr/bin/node", "-e", "const end = Date.now() + 60000; let s = []; while (Date.now() < end) { s.push({a: s.length}); if (s.length > 100000) s = []; }"], BUSY),
    ("redis, idle", ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", ""], IDLE),
    ("python3, two threads asleep", ["/usr/bin/python3", "-c", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\ntime.sleep(60)"], IDLE),
)


def task_of_agent(pid):
    """Folder of the agent's own thread below /proc; None while there is none."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as name:
                if name.read().strip() == "tailback":
                    return f"/proc/{pid}/task/{task}"
        except OSError:
            continue
    return None


def wait_for_agent(pid):
    for _ in range(200):
        task = task_of_agent(pid)
        if task:
            return task
        time.sleep(0.05)
    raise RuntimeError("the agent started no thread within 10 s")


def running_seconds(task):
    with open(f"{task}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0]) * 1e-9


def measure_one(command, seconds):
    """Per cent of one CPU."""
    with tempfile.TemporaryDirectory() as folder:
        if command[0] == "redis-server":
            os.symlink(shutil.which("redis-check-rdb"), os.path.join(folder, command[0]))
            command = [os.path.join(folder, command[0]), *command[1:]]
        with subprocess.Popen(command, env=preload_environment(os.path.join(folder, "dump.tbk")), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
            try:
                task = wait_for_agent(child.pid)
                time.sleep(min(1.0, seconds))  # the program starts
                begun, before = time.monotonic(), running_seconds(task)
                time.sleep(seconds)
                return 100 * (running_seconds(task) - before) / (time.monotonic() - begun)
            finally:
                child.kill()


def measure(seconds):
    rows = []
    for what, command, limit in PROGRAMS:
        if not shutil.which("redis-check-rdb" if command[0] == "redis-server" else command[0]):
            continue
        value = measure_one(command, seconds)
        rows.append({"what": what, "value": value, "limit": limit, "verdict": "met" if value <= limit else "not met"})
    return rows


def table(rows):
    lines = ["| program | the agent's thread, % of one CPU | limit | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row['what']} | {row['value']:.3f} | ≤ {row['limit']:.1f} | {row['verdict']} |" for row in rows]
    return "\n".join(lines)

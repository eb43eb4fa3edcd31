# SPDX-License-Identifier: Apache-2.0
"""Whatever is switched off, begins late or ends early, the program does as it does bare: every combination of the modes, over programs that open, close, copy and
wait for descriptors, start threads and children, lock and allocate. The dump can be read, and has nothing of what was off."""
import itertools
import json
import os
import unittest

from recording import HIGHEST_RATE, Scratch, clean_environment, find_program, preload_environment, record_command, report, run

MODES = [dict(zip(("io", "locks", "alloc"), modes)) for modes in itertools.product(("on", "off"), ("order", "on", "off"), ("sampled", "exact", "off"))]
OTHERS = [{"delay": 0.05}, {"duration": 0.05}, {"delay": 0.03, "duration": 0.03, "alloc": "exact"}, {"duration": 0.05, "io": "off"}, {"delay": 0.05, "io": "off"}, {"max_size": 131072},
          {"follow_children": "no"}, {"frequency": 1}, {"frequency": HIGHEST_RATE, "alloc": "exact", "max_size": 1 << 20}, {"alloc_interval": 1}]
EVERYTHING = r"""
import os, select, socket, subprocess, tempfile, threading, time
here = tempfile.mkdtemp(dir=".")
for number in range(20):
    with open(f"{here}/{number}", "w") as out: print(number, file=out); out.flush(); os.fsync(out.fileno())
print(sorted(os.listdir(here)), sum(os.stat(f"{here}/{number}").st_size for number in range(20)))
copy = os.dup(1); os.dup2(copy, 50); os.closerange(40, 60); os.close(copy)
server = socket.create_server(("127.0.0.1", 0))
def answer():
    peer, _ = server.accept()
    with peer: peer.sendall(peer.recv(100).upper())
threads = [threading.Thread(target=answer)]
threads += [threading.Thread(target=lambda: [bytearray(1000) for _ in range(2000)]) for _ in range(3)]
for thread in threads: thread.start()
with socket.create_connection(server.getsockname()) as client:
    client.sendall(b"hello"); select.select([client], [], [], 5); print(client.recv(100))
for thread in threads: thread.join()
print(subprocess.run(["/bin/sh", "-c", "ls /etc/passwd | cat; exit 3"], capture_output=True, close_fds=True))
child = os.fork()
if child == 0:
    print("child", len(os.listdir("/proc/self/task")) >= 1, flush=True); os._exit(7)
print(os.waitpid(child, 0)[1]); time.sleep(0.01)
end, other = os.pipe(); os.write(other, b"x"); os.close(other); print(os.read(end, 2), os.read(end, 2)); os.close(end)
"""


def programs():
    return (["/bin/ls", "-l", "/etc"], ["/bin/bash", "-c", "for i in 1 2 3; do /bin/true; ls /usr/bin | head -n 3; done; exec 5</etc/passwd; read line <&5; exec 5<&-; echo $line; exit 4"],
            [find_program("python3"), "-c", EVERYTHING], [find_program("sqlite3"), "data.db", "create table if not exists t(x); insert into t values(1); select count(*) > 0 from t; drop table t;"],
            [find_program("xz"), "-T2", "-0", "-k", "-c", "/usr/bin/python3"], ["/usr/bin/find", "/usr/share/doc", "-maxdepth", "2", "-name", "c*"])


class ModesTest(Scratch):
    def outcome(self, command, environment):
        done = run(command, cwd=self.folder, env=environment)
        return done.status, done.stdout, done.stderr

    def test_every_combination_by_preloading(self):
        for command in programs():
            bare = self.outcome(command, clean_environment())
            for modes in MODES + OTHERS:
                with self.subTest(command=command[0], **modes):
                    self.assertEqual(self.outcome(command, preload_environment(self.path("run.%p.tbk"), **modes)), bare)

    def test_what_is_off_is_not_in_the_dump(self):
        command = [find_program("python3"), "-c", EVERYTHING]
        bare = self.outcome(command, clean_environment())
        for modes in MODES:
            with self.subTest(**modes):
                dump = self.path("launched.tbk")
                options = [word for name, mode in modes.items() for word in (f"--{name}", mode)]
                self.assertEqual(self.outcome(record_command(command, "--force", "--follow-children", "no", "-o", dump, *options), clean_environment()), bare)
                data = report(dump)
                self.assertEqual(bool(data["io"]), modes["io"] == "on", json.dumps(data["io"])[:200])
                self.assertEqual(data["allocations"].get("mode", "off"), modes["alloc"])
                if modes["io"] == "off" or modes["locks"] == "off":
                    self.assertEqual(data["locks"], [])
                os.unlink(dump)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""What is said about connections holds for programs that only look alike."""
import unittest

from recording import Scratch, preload_environment, report, run

BOUND = 60  # seconds

# Two small writes, then an answer that the other side takes 48 ms for: as late as a delayed acknowledgement, which this socket has none of.
SLOW_ANSWERS = """
import socket, threading, time
near, far = socket.socketpair()
def answer():
    while far.recv(1):
        far.recv(1)
        time.sleep(0.048)
        far.send(b'!')
thread = threading.Thread(target=answer)
thread.start()
answers = b''
for turn in range(30):
    near.send(b'h')
    near.send(b'b')
    answers += near.recv(1)
near.close()
thread.join()
print(len(answers))
"""


class ConnectionsTest(Scratch):
    def test_an_answer_as_late_as_a_delayed_acknowledgement(self):
        dump = self.path(self.fresh_name())
        done = run(["/usr/bin/python3", "-c", SLOW_ANSWERS], cwd=self.folder, env=preload_environment(dump), timeout=BOUND)
        self.assertEqual((done.status, done.stdout), (0, b"30\n"), done.stderr)
        result = report(dump)
        self.assertEqual([finding["title"] for finding in result["findings"] if finding["rule"] == "net-delayed-ack"], [])


if __name__ == "__main__":
    unittest.main()

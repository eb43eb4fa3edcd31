# SPDX-License-Identifier: Apache-2.0
"""Programs of other loaders, and those whose loader distrusts the environment: executed by a recorded program in every way, and
given to the launcher, they print what they print without the agent, and nothing else."""
import os
import stat
import subprocess

import forms
from recording import HIGHEST_RATE, TAILBACK, Scratch, clean_environment, find_program, preload_environment, record_command, run

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 3; }\n'
WAYS = {  # how the recorded python3 starts a program
    "posix_spawn": "import os,sys; print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(sys.argv[1], [sys.argv[1]], os.environ), 0)[1]))",
    "posix_spawnp": "import os,sys; os.environ['PATH'] = os.getcwd(); print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp(os.path.basename(sys.argv[1]), ['x'], os.environ), 0)[1]))",
    "fork and execve": "import os,sys; pid = os.fork(); pid or os.execve(sys.argv[1], ['x'], os.environ); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
    "vfork and exec": "import subprocess,sys; print(subprocess.run([sys.argv[1]]).returncode)",
    "fexecve": "import os,sys; pid = os.fork(); pid or os.execve(os.open(sys.argv[1], os.O_RDONLY), ['x'], os.environ); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
    "system": "import os,sys; print(os.waitstatus_to_exitcode(os.system(sys.argv[1])))",
    "a script": "import os,subprocess,sys; s = sys.argv[1] + '.sh'; open(s, 'w').write('#!' + sys.argv[1] + '\\n'); os.chmod(s, 0o755); print(subprocess.run([s]).returncode)",
}


class LoadersTest(Scratch):
    BUILDS = {"ordinary": ["gcc", "-o"], "of 32 bits": ["gcc", "-m32", "-o"], "for musl": ["musl-gcc", "-o"], "static": ["gcc", "-static", "-o"],
              "with AddressSanitizer": ["gcc", "-fsanitize=address", "-o"], "with ThreadSanitizer": ["gcc", "-fsanitize=thread", "-o"]}
    RECORDED = ("ordinary", "with AddressSanitizer", "with ThreadSanitizer")

    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        source = self.path("hello.c")
        with open(source, "w", encoding="ascii") as out:
            out.write(HELLO)
        self.programs = {}
        for name, command in self.BUILDS.items():
            path = self.path(name.replace(" ", "_"))
            subprocess.run([find_program(command[0]), *command[1:], path, source], check=True, capture_output=True, timeout=60)
            self.programs[name] = path
        if os.getuid() == 0:  # owned by somebody else, or it would change nothing
            path = self.path("setuid")
            subprocess.run(["cp", self.programs["ordinary"], path], check=True)
            os.chown(path, 65534, 65534)
            os.chmod(path, 0o755 | stat.S_ISUID)
            self.programs["setuid"] = path

    def test_as_children(self):
        python = find_program("python3")
        for name, program in self.programs.items():
            for way, script in WAYS.items():
                with self.subTest(program=name, way=way):
                    command = [python, "-c", script, program]
                    bare = run(command, cwd=self.folder, env=clean_environment())
                    self.assertIn(b"hello\n", bare.stdout)
                    recorded = run(record_command(command, "-F", HIGHEST_RATE, "-o", self.path("%e.%p.tbk")), cwd=self.folder)
                    self.assertEqual((recorded.status, recorded.stdout, recorded.stderr), (bare.status, bare.stdout, bare.stderr))
                    preloaded = run(command, cwd=self.folder, env=preload_environment(self.path("p.%e.%p.tbk")))
                    self.assertEqual((preloaded.status, preloaded.stdout, preloaded.stderr), (bare.status, bare.stdout, bare.stderr))

    def test_by_the_launcher(self):
        for name, program in self.programs.items():
            with self.subTest(program=name):
                done = run(record_command([program], "-o", self.path("x.tbk"), "--force"), cwd=self.folder)
                self.assertEqual((done.status, done.stdout), (3, b"hello\n"))
                if name in self.RECORDED:
                    self.assertTrue(os.path.exists(self.path("x.tbk")))
                    os.unlink(self.path("x.tbk"))
                    continue
                self.assertNotIn(b"ERROR: ld.so", done.stderr)
                told = run([TAILBACK, "record", "-o", self.path("x.tbk"), "--force", "--", program], cwd=self.folder)
                self.assertEqual(told.status, 3)
                self.assertIn(b"nothing of it is recorded", told.stderr)
                refused = run([TAILBACK, "record", "--strict", "-o", self.path("x.tbk"), "--force", "--", program], cwd=self.folder)
                self.assertEqual((refused.status, refused.stdout), (125, b""))

    def test_children_of_a_plain_preload_know_their_parent(self):
        """A build under LD_PRELOAD alone must not leave a dump for each of its short processes."""
        script = "for i in $(seq 100); do /bin/true; done; (exec /bin/true); sh -c '/bin/true; /bin/true'; echo `/bin/echo done`"
        for shell in ("bash", "dash"):
            done = run([find_program(shell), "-c", script], cwd=self.folder, env=preload_environment(self.path("%e.%p.tbk")))
            self.assertEqual((done.status, done.stdout), (0, b"done\n"))
            self.assertLessEqual(len([name for name in self.dumps() if "/true." in name or "/echo." in name]), 0)
        system = run([find_program("python3"), "-c", "import os; [os.system('/bin/true') for _ in range(20)]"], cwd=self.folder,
                     env=preload_environment(self.path("%e.%p.tbk")))
        self.assertEqual(system.status, 0)
        self.assertEqual([name for name in self.dumps() if "/true." in name or "/sh." in name], [])


if __name__ == "__main__":
    forms.main()

# SPDX-License-Identifier: Apache-2.0
"""Where dumps go: names, children, nothing overwritten, mode 0600, no link followed, the same by launcher and by preloading."""
import os
import stat
import unittest

from recording import Scratch, clean_environment, find_program, program, record_command, report, run

BUSY = ["short_threads", "1", "60000", "1"]  # long enough to be worth a dump of its own


def busy(*more):
    return [program(BUSY[0]), *BUSY[1:], *more]


class NamesTest(Scratch):
    def test_default_name(self):
        done = run(record_command(busy()), cwd=self.folder)
        self.assertEqual(done.status, 0)
        (dump,) = self.dumps()
        data = report(dump)
        self.assertEqual(os.path.basename(dump), f"tailback.short_threads.{data['target']['pid']}.tbk")
        self.assertEqual(data["target"]["command"], busy())
        self.assertTrue(data["target"]["complete"])
        self.assertEqual(data["target"]["exit_status"], 0)

    def test_default_name_without_the_launcher(self):
        environment = clean_environment(LD_PRELOAD=os.path.join(os.environ["TAILBACK_BUILD_DIR"], "preload", "libtailback.so"))
        self.assertEqual(run(busy(), cwd=self.folder, env=environment).status, 0)
        (dump,) = self.dumps()
        data = report(dump)
        self.assertEqual(os.path.basename(dump), f"tailback.short_threads.{data['target']['pid']}.tbk")
        self.assertTrue(data["target"]["complete"])

    def test_placeholders(self):
        run(record_command(busy(), "-o", self.path("%h-%e-%p.tbk")), cwd=self.folder)
        (dump,) = self.dumps()
        self.assertEqual(os.path.basename(dump), f"{os.uname().nodename}-short_threads-{report(dump)['target']['pid']}.tbk")

    def test_mode(self):
        os.umask(0)
        _, dump = self.record(busy())
        self.assertEqual(stat.S_IMODE(os.stat(dump).st_mode), 0o600)


class NothingOverwrittenTest(Scratch):
    def occupied(self):
        path = self.path("run.tbk")
        with open(path, "wb") as out:
            out.write(b"precious")
        return path

    def content(self, path):
        with open(path, "rb") as source:
            return source.read()

    def test_next_free_suffix(self):
        path = self.occupied()
        for suffix in (".1", ".2"):
            run(record_command(busy(), "-o", path))
            self.assertEqual(self.content(path), b"precious")
            self.assertTrue(report(path + suffix)["target"]["complete"])

    def test_next_free_suffix_without_the_launcher(self):
        path = self.occupied()
        self.assertEqual(self.preload(busy(), name="run.tbk")[0].status, 0)
        self.assertEqual(self.content(path), b"precious")
        self.assertTrue(report(path + ".1")["target"]["complete"])

    def test_force(self):
        path = self.occupied()
        run(record_command(busy(), "--force", "-o", path))
        self.assertTrue(report(path)["target"]["complete"])
        self.assertEqual(self.dumps(), [path])

    def test_links_are_not_followed(self):
        victim = self.path("victim")
        with open(victim, "wb") as out:
            out.write(b"precious")
        for name, target in (("there.tbk", victim), ("dangling.tbk", self.path("elsewhere"))):
            os.symlink(target, self.path(name))
            run(record_command(busy(), "-o", self.path(name)))
            run(record_command(busy(), "--force", "-o", self.path(name)))
        self.assertEqual(self.content(victim), b"precious")
        self.assertFalse(os.path.exists(self.path("elsewhere")))

    def test_report_files_are_not_overwritten(self):
        _, dump = self.record(busy())
        taken = self.path("report.json")
        with open(taken, "wb") as out:
            out.write(b"precious")
        done = run([os.path.join(os.environ["TAILBACK_BUILD_DIR"], "tools", "tailback"), "report", "--json", taken, dump])
        self.assertEqual(self.content(taken), b"precious", done.stderr)
        self.assertEqual(done.status, 1)


class ChildrenTest(Scratch):
    def pids_and_programs(self):
        found = []
        for dump in self.dumps():
            data = report(dump)
            found.append((data["target"]["pid"], os.path.basename(data["target"]["command"][0])))
        return found

    def shell(self, *options):
        script = " ".join(busy()) + "; " + " ".join(busy()) + "; exit 0"
        run(record_command([find_program("bash"), "-c", script], "-o", self.path("%e.%p.tbk"), *options), cwd=self.folder)
        return [name for _, name in self.pids_and_programs()]

    def test_each_child_has_a_dump(self):
        self.assertEqual(sorted(self.shell()), ["bash", "short_threads", "short_threads"])
        self.assertEqual(len({pid for pid, _ in self.pids_and_programs()}), 3)

    def test_children_not_followed(self):
        self.assertEqual(self.shell("--follow-children", "no"), ["bash"])

    def test_exec_in_place(self):
        """The same process, another program: a dump for each, the first ended in order."""
        script = "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; exec " + " ".join(busy())
        run(record_command([find_program("bash"), "-c", script], "-o", self.path("%e.%p.tbk")), cwd=self.folder)
        found = self.pids_and_programs()
        self.assertEqual(sorted(name for _, name in found), ["bash", "short_threads"])
        self.assertEqual(len({pid for pid, _ in found}), 1)

    def test_short_lived_children_leave_no_files(self):
        """A configure script starts thousands of programs: none of them is worth a file."""
        script = "for i in $(seq 150); do /bin/true; done; (:); echo $(echo x | cat) > /dev/null"
        run(record_command([find_program("bash"), "-c", script], "-o", self.path("%e.%p.tbk")), cwd=self.folder, timeout=120)
        self.assertEqual([name for _, name in self.pids_and_programs()], ["bash"])


class LimitsOfTimeTest(Scratch):
    def test_duration(self):
        done, dump = self.record([program("steady_progress"), "1", "2"], "--duration", "0.5")
        data = report(dump)
        self.assertEqual(done.status, 0)
        self.assertTrue(data["target"]["complete"])
        self.assertGreater(done.stdout.count(b"\n"), 100, "the program itself must run to its end")
        self.assertLess(data["summary"]["cpu_seconds"], 1.0)

    def test_delay(self):
        _, dump = self.record([program("steady_progress"), "2", "2"], "--delay", "1.0")
        self.assertLess(sum(row["sampled_seconds"] for row in report(dump)["threads"]), 2 * 1.0 * 1.15)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Programs that do what breaks profilers, bare and recorded at the highest rate: same output, same status, no hang. Recorded
both by the launcher and by plain preloading; each run must leave a dump that can be read."""
import os
import resource
import subprocess

import forms
from recording import BUILD, HIGHEST_RATE, Scratch, clean_environment, limit, preload_environment, program, record_command, report, run

CHURN = [os.path.join(BUILD, "tests", "programs", f"libchurn_{variant}.so") for variant in (0, 1)]


class HazardsTest(Scratch):
    def same(self, name, *arguments, timeout=120, preexec=None, readable=True, launcher_speaks=False):
        command = [program(name), *arguments]
        timeout = forms.rounds(timeout, 60 * timeout)
        seen = {"bare": run(command, cwd=self.folder, env=clean_environment(), timeout=timeout, preexec=preexec)}
        self.assertNotIn(b"does not hold", seen["bare"].stdout, "the machine itself does not keep what this test expects")
        launched, preloaded = self.path("launched.%e.%p.tbk"), self.path("preloaded.%e.%p.tbk")
        seen["launched"] = run(record_command(command, "-F", HIGHEST_RATE, "-o", launched), cwd=self.folder, timeout=timeout, preexec=preexec)
        seen["preloaded"] = run(command, cwd=self.folder, env=preload_environment(preloaded, frequency=HIGHEST_RATE), timeout=timeout, preexec=preexec)
        outcome = {way: (done.status, done.stdout, done.stderr) for way, done in seen.items()}
        compared = 2 if launcher_speaks else 3  # it says on stderr that no dump could be written
        self.assertEqual(outcome["launched"][:compared], outcome["bare"][:compared])
        self.assertEqual(outcome["preloaded"], outcome["bare"])
        dumps = self.dumps(f"*.{name[:15]}*.tbk*")
        if readable:
            self.assertGreaterEqual(len(dumps), 2)
        return [report(dump) for dump in dumps[:20]]

    def test_waits_are_not_cut_short(self):
        self.same("signal_waits", forms.rounds("3", "500"), "4")

    def test_every_call_that_waits(self):
        self.same("blocking_matrix", timeout=120)

    def test_interrupted_calls(self):
        for _ in range(forms.rounds(1, 20)):
            self.same("interrupted_calls")

    def test_cancelled_calls(self):
        for _ in range(forms.rounds(1, 20)):
            self.same("cancelled_calls")
            self.same("cancelled_calls", "children")

    def test_jumps_out_of_calls(self):
        self.same("jumping_out", forms.rounds("10", "300"))

    def test_arguments_that_cannot_be_read(self):
        self.same("invalid_arguments")

    def test_kinds_of_locks(self):
        for _ in range(forms.rounds(1, 50)):
            self.same("lock_kinds")

    def test_descriptors_change_their_meaning(self):
        for _ in range(forms.rounds(1, 50)):
            self.same("descriptor_traffic")

    def test_arguments_that_depend_on_others(self):
        for name in ("variadic_calls", "variadic_large", "variadic_fortified"):
            self.same(name)

    def test_signals_belong_to_the_program(self):
        for _ in range(forms.rounds(1, 50)):
            self.same("signal_owner")

    def test_blocked_signals_wait_for_the_program(self):
        for _ in range(forms.rounds(1, 50)):
            self.same("signal_waiting")

    def test_processes_by_every_way(self):
        self.same("process_storm", forms.rounds("15", "1000"), "4")

    def test_titles_over_the_environment(self):
        reports = self.same("odd_children", "title")
        self.assertEqual(sorted(name for name in os.listdir(self.folder) if ".odd_children." not in name), [])
        self.assertEqual(len(reports), 4, "parent and child, launched and preloaded")

    def test_child_forked_by_a_thread(self):
        self.same("odd_children", "thread", timeout=20)

    def test_worker_that_gives_up_root(self):
        self.assertEqual(len(self.same("odd_children", "worker")), 4, "parent and child, launched and preloaded")

    def test_memory_limit_of_a_cgroup(self):
        """Pages of the dump are charged to the program's cgroup: they must not bring it to its limit."""
        with open("/proc/self/cgroup", encoding="ascii") as source:
            own = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in source}
        base, limit_file = ("/sys/fs/cgroup/memory" + own["memory"], "memory.limit_in_bytes") if "memory" in own else ("/sys/fs/cgroup" + own.get("", "/"), "memory.max")
        group = os.path.join(base, f"tailback-test-{os.getpid()}")
        try:
            os.mkdir(group)
            with open(os.path.join(group, limit_file), "w", encoding="ascii") as out:
                out.write(str(48 << 20))
        except OSError as error:
            if os.path.isdir(group):
                os.rmdir(group)
            self.skipTest(f"no memory cgroup can be made: {error}")
        try:
            def enter():
                with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as out:
                    out.write(str(os.getpid()))
            self.same("process_storm", "5", "2", preexec=enter)
            self.same("thread_ends", "20", preexec=enter)
        finally:
            os.rmdir(group)

    def test_folders_that_cannot_be_written(self):
        os.mkdir(self.path("closed"), 0o500)
        for place in ("closed/x.tbk", "missing/x.tbk", "/proc/x.tbk", "/dev/full"):
            done = run([program("sudden_ends"), "exit"], env=preload_environment(self.path(place), frequency=HIGHEST_RATE))
            self.assertEqual((done.status, done.stdout, done.stderr), (3, b"", b""))

    def test_exec_in_a_chain(self):
        self.same("exec_chain", forms.rounds("60", "10000"), timeout=240)

    def test_threads_end_in_every_way(self):
        self.same("thread_ends", forms.rounds("40", "3000"))

    def test_stacks_that_no_thread_owns(self):
        self.same("foreign_stacks", forms.rounds("300", "20000"))

    def test_libraries_come_and_go(self):
        self.same("library_churn", *CHURN, forms.rounds("3000", "300000"))

    def test_many_threads_alive(self):
        self.same_threads(forms.rounds(2000, 20000))

    def same_threads(self, count):
        done, dump = self.record([program("waiting_threads"), str(count), "2"], "-F", HIGHEST_RATE, timeout=300)
        self.assertEqual(done.status, 0)
        self.assertGreaterEqual(report(dump)["summary"]["threads_peak"], count)

    def test_serial_threads(self):
        self.same_sum(forms.rounds(20000, 1000000))

    def same_sum(self, count):
        done, dump = self.record([program("short_threads"), str(count), "1", "8"], timeout=forms.rounds(120, 3600))
        self.assertEqual((done.status, done.stdout.split()[:2]), (0, [b"threads", str(count).encode()]))
        report(dump)

    def test_files_of_the_program_are_not_touched(self):
        os.mkdir(self.path("own"))
        self.same("own_descriptors", self.path("own"), "1000")

    def test_sixteen_descriptors(self):
        os.mkdir(self.path("own"))
        self.same("own_descriptors", self.path("own"), "1000", preexec=limit(resource.RLIMIT_NOFILE, 16))

    def test_small_files_only(self):
        for size in (0, 4096, 1 << 17):
            self.same("sudden_ends", "exit", preexec=limit(resource.RLIMIT_FSIZE, size), readable=False, launcher_speaks=size < 1 << 17)

    def test_little_address_space(self):
        self.same("sudden_ends", "main_thread_ends_first", preexec=limit(resource.RLIMIT_AS, 256 << 20), readable=False)

    def test_no_timers_left(self):
        self.same("thread_ends", "5", preexec=limit(resource.RLIMIT_SIGPENDING, 60))

    def test_change_of_user(self):
        self.same("changing_identity", "setuid")

    def test_new_user_namespace(self):
        self.same("changing_identity", "namespace")

    def test_sandbox(self):
        self.same("changing_identity", "sandbox", timeout=30)

    def test_sandbox_of_all_threads(self):
        self.same("changing_identity", "filter", timeout=30)

    def test_locked_memory(self):
        self.same("changing_identity", "memory")

    def test_main_thread_ends_first(self):
        self.same("sudden_ends", "main_thread_ends_first", timeout=20)

    def test_full_disk(self):
        if os.getuid() != 0:
            self.skipTest("only root can mount a small file system")
        place = self.path("small")
        os.mkdir(place)
        for size in ("4k", "64k", "300k"):
            if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True).returncode != 0:
                self.skipTest("this root may not mount")
            try:
                command = [program("short_threads"), "60", "20000", "8"]
                for done in (run(record_command(command, "-o", os.path.join(place, "a.tbk")), timeout=60),
                             run(command, env=preload_environment(os.path.join(place, "b.tbk")), timeout=60)):
                    # With no room even for the first page the launcher may refuse; the program must never suffer.
                    self.assertIn(done.status, (0, 125), done.stderr)
                    self.assertTrue(done.status == 125 or done.stdout.startswith(b"threads 60 "))
            finally:
                subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    forms.main()

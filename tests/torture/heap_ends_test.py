# SPDX-License-Identifier: Apache-2.0
"""Processes that end while their heap is in use: same output and status as bare, no hang, and nothing is called lost that the program
still holds. Where that cannot be known the search says so."""

import forms
import raw_records
from recording import Scratch, clean_environment, preload_environment, program, run


class HeapEndsTest(Scratch):
    def ends(self, how, timeout=60):
        command = [program("heap_ends"), how]
        bare = run(command, cwd=self.folder, env=clean_environment(), timeout=timeout)
        output = self.path(self.fresh_name())
        seen = run(command, cwd=self.folder, env=preload_environment(output, alloc="exact"), timeout=timeout)
        self.assertEqual((seen.status, seen.stdout, seen.stderr), (bare.status, bare.stdout, bare.stderr))
        self.assertEqual(seen.status, 3)
        scans = [scan for dump in self.dumps(output.split("/")[-1] + "*") for scan in raw_records.tables(dump)["leak_scan"]]
        self.assertTrue(scans)
        return scans

    def test_handler_that_interrupted_the_allocator(self):
        for how in ("handler", "alternate_stack"):
            for _ in range(forms.rounds(3, 300)):
                for scan in self.ends(how):
                    self.assertEqual((scan["completed"], scan["leaked_blocks"]), (0, 0))
                    self.assertIn(b"signal handler", scan["reason"])

    def test_threads_run_on(self):
        for _ in range(forms.rounds(3, 300)):
            for scan in self.ends("threads_run_on"):
                # What a thread holds between two of its instructions is in its registers.
                self.assertLessEqual(scan["leaked_blocks"], 2 * 3)

    def test_thread_frees_meanwhile(self):
        for _ in range(forms.rounds(3, 300)):
            for scan in self.ends("thread_frees"):
                self.assertEqual(scan["leaked_blocks"], 0)

    def test_exit_by_another_thread(self):
        for scan in self.ends("thread_exits"):
            self.assertEqual((scan["completed"], scan["leaked_blocks"]), (1, 0))

    def test_forked_child(self):
        scans = self.ends("child")
        self.assertEqual(sorted((scan["completed"], scan["leaked_blocks"]) for scan in scans)[-1], (1, 0))

    def test_more_than_is_looked_at(self):
        for scan in self.ends("large"):
            self.assertEqual((scan["completed"], scan["leaked_blocks"]), (0, 0))
            self.assertLess(scan["ns"], 3_000_000_000)


if __name__ == "__main__":
    forms.main()

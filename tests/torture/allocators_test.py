# SPDX-License-Identifier: Apache-2.0
"""Programs that allocate where it hurts, with every allocator, bare and with all their allocations recorded: same output, same
status, no hang, and a dump that can be read. Recorded both by the launcher and by plain preloading."""
import os

import forms
from recording import BUILD, HIGHEST_RATE, UNPACKED, Scratch, clean_environment, preload_environment, program, record_command, report, run

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc.so.4", "tcmalloc_minimal": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}
STATIC = ("jemalloc", "tcmalloc", "tcmalloc_minimal")  # Debian has no archive of mimalloc


def library_of(name):
    """Path of an allocator's library; a missing one is an error, as tools/packages lists them all."""
    for folder in (LIBRARIES, UNPACKED + LIBRARIES):
        path = os.path.join(folder, ALLOCATORS[name])
        if os.path.exists(path):
            return path
    raise AssertionError(f"{ALLOCATORS[name]} is not there: tools/packages/install test, tools/packages/unpack")


class AllocatorsTest(Scratch):
    def ways(self, command, preload_after, variables, timeout):
        """Outcome of each way; dumps are left in the folder."""
        launched = record_command(command, "-F", HIGHEST_RATE, "--alloc", "exact", "-o", self.path("launched.%p.tbk"))
        preloaded = preload_environment(self.path("preloaded.%p.tbk"), frequency=HIGHEST_RATE, alloc="exact")
        preloaded.update(variables)
        if preload_after:
            preloaded["LD_PRELOAD"] += ":" + preload_after
            variables = {**variables, "LD_PRELOAD": preload_after}
        environment = clean_environment(**variables)
        return {"bare": run(command, cwd=self.folder, env=environment, timeout=timeout),
                "launched": run(launched, cwd=self.folder, env=environment, timeout=timeout),
                "preloaded": run(command, cwd=self.folder, env=preloaded, timeout=timeout)}

    def same(self, name, *arguments, status=0, preload_after=None, variables=None, timeout=120):
        path = program(name)
        self.assertTrue(os.path.exists(path), f"{name} was not built: tools/packages/install test, tools/packages/unpack, then cmake again")
        seen = self.ways([path, *arguments], preload_after, variables or {}, forms.rounds(timeout, 20 * timeout))
        outcome = {way: (done.status, done.stdout, done.stderr) for way, done in seen.items()}
        self.assertEqual(outcome["bare"][0], status, f"the machine itself does not keep what this test expects: {outcome['bare']}")
        self.assertEqual(outcome["launched"], outcome["bare"])
        self.assertEqual(outcome["preloaded"], outcome["bare"])
        for way in ("launched", "preloaded"):
            dumps = self.dumps(way + ".*.tbk*")
            self.assertGreaterEqual(len(dumps), 1)
            for dump in dumps[:5]:
                self.assertEqual(report(dump)["schema"], "tailback.report/1")
                os.unlink(dump)

    def test_the_c_library(self):
        for _ in range(forms.rounds(1, 50)):
            self.same("allocator_traffic")

    def test_linked(self):
        for name in ALLOCATORS:
            with self.subTest(allocator=name):
                self.same("traffic_shared_" + name)

    def test_preloaded_after(self):
        for name in ALLOCATORS:
            with self.subTest(allocator=name):
                self.same("allocator_traffic", preload_after=library_of(name))

    def test_inside_the_executable(self):
        for name in STATIC:
            with self.subTest(allocator=name):
                self.same("traffic_static_" + name)

    def test_address_sanitizer(self):
        """Its runtime wants to come first, which the launcher sees to; a plain preloading must tell it not to look."""
        self.same("traffic_address_sanitizer", variables={"ASAN_OPTIONS": "verify_asan_link_order=0"})

    def test_library_that_binds_past_the_program(self):
        self.same("deep_binding", os.path.join(BUILD, "tests", "programs", "libdeep_bound.so"))

    def test_plugins_of_a_program_that_is_not_in_their_language(self):
        """What they get as operators lies in a scope of their own, and must not end in the hooks."""
        plugins = [os.path.join(BUILD, "tests", "programs", f"libplugin_{variant}.so") for variant in ("shared", "static", "own")]
        for name in (None, *(name for name in ALLOCATORS if name != "mimalloc")):  # whose operators cannot throw in such a program
            with self.subTest(allocator=name):
                self.same("local_plugin", *plugins, preload_after=name and library_of(name))

    def test_late_frees(self):
        for name in (None, *ALLOCATORS):
            with self.subTest(allocator=name):
                self.same("late_frees", status=5, preload_after=name and library_of(name))

    def test_fork_while_others_allocate(self):
        for name in (None, *forms.rounds((), ("jemalloc", "tcmalloc"))):
            with self.subTest(allocator=name):
                self.same("fork_while_allocating", str(forms.rounds(30, 1000)), preload_after=name and library_of(name))

    def test_handlers_that_allocate(self):
        for _ in range(forms.rounds(1, 50)):
            self.same("allocating_handlers")

    def test_before_others_are_ready(self):
        for name in (None, *ALLOCATORS):
            with self.subTest(allocator=name):
                self.same("early_allocations", status=6, preload_after=name and library_of(name))

    def test_ends(self):
        for how, status in (("exit", 3), ("_exit", 3), ("quick_exit", 3), ("return_with_threads", 3), ("main_thread_ends_first", 0), ("exit_in_handler", 4)):
            with self.subTest(end=how):
                self.same("sudden_ends", how, status=status)


if __name__ == "__main__":
    forms.main()

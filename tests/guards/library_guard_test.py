# SPDX-License-Identifier: Apache-2.0
"""The guard of the library must see each violation: compiles small libraries that break one rule each."""
import os
import subprocess
import tempfile
import unittest

import library_guard

GOOD = ["-shared", "-fPIC", "-O1", "-nostdlib", "-lc", "-Wl,-z,now", "-Wl,-z,nodelete", "-Wl,-z,noexecstack"]
SOURCE = 'extern "C" int answer() { return 42; } __attribute__((constructor)) static void begin() { __asm__ volatile(""); }\n'


class LibraryGuardTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def build(self, source=SOURCE, flags=(), drop=()):
        path = os.path.join(self.folder.name, "sample.cpp")
        library = os.path.join(self.folder.name, "libsample.so")
        with open(path, "w", encoding="utf-8") as out:
            out.write(source)
        kept = [flag for flag in GOOD if flag not in drop]
        subprocess.run(["g++", path, "-o", library, *kept, *flags], check=True, timeout=60)
        return library

    def hooks(self, *names):
        path = os.path.join(self.folder.name, "hooks.def")
        with open(path, "w", encoding="utf-8") as out:
            out.write("// HOOK(commented_out, ...)\n" + "".join(f"HOOK({name}, int)\n" for name in names))
        return path

    def test_a_good_library_passes(self):
        self.assertEqual(library_guard.all_violations(self.build(), self.hooks("answer")), [])

    def test_exports(self):
        library = self.build()
        self.assertTrue(library_guard.check_exports(library, self.hooks()))
        self.assertTrue(library_guard.check_exports(library, self.hooks("answer", "missing")))

    def test_versioned_exports_count_once(self):
        script = os.path.join(self.folder.name, "map")
        with open(script, "w", encoding="utf-8") as out:
            out.write("V_1 { global: answer; };\n")
        library = self.build(flags=[f"-Wl,--version-script={script}"])
        self.assertEqual(library_guard.check_exports(library, self.hooks("answer")), [])

    def test_needed_libraries(self):
        library = self.build(source=SOURCE + 'extern "C" double cos(double); extern "C" double f(double x) { return cos(x); }\n', flags=["-lm"])
        self.assertTrue(library_guard.check_needed(library))

    def test_dynamic_initialisers(self):
        source = SOURCE + "int begin_value(); static int value = begin_value(); int begin_value() { return 7; } int* get() { return &value; }\n"
        self.assertTrue(library_guard.check_initialisers(self.build(source=source, flags=["-O0"])))
        self.assertTrue(library_guard.check_initialisers(self.build(source='extern "C" int answer() { return 42; }\n')))

    def test_static_destructors(self):
        source = SOURCE + "struct S { S(); ~S(); }; S::S() {} S::~S() {} S s;\n"
        self.assertTrue(library_guard.check_imports(self.build(source=source, drop=["-nostdlib"])))

    def test_thread_local_storage(self):
        source = SOURCE + '__attribute__((tls_model("initial-exec"))) thread_local char block[129]; char* get() { return block; }\n'
        self.assertTrue(library_guard.check_thread_local_storage(self.build(source=source)))
        self.assertFalse(library_guard.check_thread_local_storage(self.build(source=source.replace("129", "128"))))

    def test_flags(self):
        self.assertTrue(library_guard.check_flags(self.build(drop=["-Wl,-z,now"], flags=["-Wl,-z,lazy"])))
        self.assertTrue(library_guard.check_flags(self.build(drop=["-Wl,-z,nodelete"])))
        self.assertTrue(library_guard.check_flags(self.build(drop=["-Wl,-z,noexecstack"], flags=["-Wl,-z,execstack"])))
        self.assertTrue(library_guard.check_flags(self.build(flags=["-Wl,-rpath,/nowhere"])))

    def test_text_relocations(self):
        source = 'int target; __asm__(".globl where\\nwhere: .quad target\\n"); __attribute__((constructor)) static void begin() { __asm__ volatile(""); }\n'
        library = self.build(source=source, flags=["-Wl,-z,notext"])
        self.assertTrue(library_guard.check_flags(library))


if __name__ == "__main__":
    unittest.main()

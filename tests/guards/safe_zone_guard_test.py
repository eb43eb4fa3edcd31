# SPDX-License-Identifier: Apache-2.0
"""The guard of the safe zone must see a call to the heap, through whatever detour the compiler finds."""
import os
import subprocess
import tempfile
import unittest

import safe_zone_guard


class SafeZoneGuardTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def compile(self, name, source):
        path = os.path.join(self.folder.name, name)
        with open(path + ".cpp", "w", encoding="utf-8") as out:
            out.write(source)
        subprocess.run(["g++", "-std=c++20", "-O1", "-fPIC", "-c", path + ".cpp", "-o", path + ".o"], check=True, timeout=60)
        return path + ".o"

    def test_own_and_allowed_symbols_pass(self):
        one = self.compile("one", "int two(); int one(void* p) { return two() + __builtin_memcmp(p, p, 999); }\n")
        two = self.compile("two", "int two() { return 2; }\n")
        self.assertEqual(safe_zone_guard.violations({"memcmp"}, [one, two]), [])

    def test_heap_exceptions_and_locks_are_seen(self):
        for source in ("#include <vector>\nint f(int n) { std::vector<int> v(n); return v[0]; }\n",
                       "void f() { throw 1; }\n",
                       "#include <pthread.h>\nvoid f(pthread_mutex_t* m) { pthread_mutex_lock(m); }\n",
                       "#include <cstdio>\nvoid f() { puts(\"\"); }\n",
                       "struct S { S(); int n; }; int f() { static S s; return s.n; }\n"):
            self.assertTrue(safe_zone_guard.violations(set(), [self.compile("bad", source)]), source)

    def test_stale_entries_are_seen(self):
        self.assertTrue(safe_zone_guard.unused({"memcpy"}, [self.compile("none", "int f() { return 1; }\n")]))


if __name__ == "__main__":
    unittest.main()

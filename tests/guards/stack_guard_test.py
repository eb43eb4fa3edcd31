# SPDX-License-Identifier: Apache-2.0
"""The guard of the stack must see a big frame, a deep path, recursion and run-time amounts."""
import os
import re
import subprocess
import tempfile
import unittest

import stack_guard

KEEP = '__attribute__((noinline)) '
SOURCE = f'''
extern "C" void touch(void*);
{KEEP} static void leaf() {{ char block[600]; touch(block); __asm__ volatile(""); }}
{KEEP} static void middle() {{ char block[300]; touch(block); leaf(); __asm__ volatile(""); }}
extern "C" void shallow() {{ char block[100]; touch(block); __asm__ volatile(""); }}
extern "C" void deep() {{ middle(); __asm__ volatile(""); }}
extern "C" int recursive(int n) {{ char block[16]; touch(block); return n ? recursive(n - 1) + block[0] : 0; }}
extern "C" void variable(int n) {{ touch(__builtin_alloca(n)); __asm__ volatile(""); }}
__attribute__((visibility("default"))) void in_another_file();
extern "C" void relaxed() {{ in_another_file(); __asm__ volatile(""); }}
extern "C" void (*outside)();
extern "C" void calls_out() {{ outside(); __asm__ volatile(""); }}
'''

# Without a procedure linkage table calls go through the offset table; the linker makes them direct again, with a prefix.
ANOTHER = 'extern "C" void touch(void*); void in_another_file() { char block[700]; touch(block); }\n'


class StackGuardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = os.path.join(cls.folder.name, "sample.cpp")
        cls.library = os.path.join(cls.folder.name, "libsample.so")
        another = os.path.join(cls.folder.name, "another.cpp")
        for name, source in ((path, SOURCE), (another, ANOTHER)):
            with open(name, "w", encoding="utf-8") as out:
                out.write(source)
        subprocess.run(["g++", "-O2", "-shared", "-fPIC", "-fvisibility=default", "-fno-plt", "-Wl,-Bsymbolic", "-fno-optimize-sibling-calls",
                        path, another, "-o", cls.library], check=True, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def violations(self, name, limit):
        return stack_guard.violations(self.library, [(re.compile(name + r"\Z"), limit)])

    def test_within_budget(self):
        self.assertEqual(self.violations("shallow", 200), [])
        self.assertEqual(self.violations("calls_out", 64), [])

    def test_own_frame(self):
        self.assertTrue(self.violations("shallow", 64))

    def test_path_of_calls(self):
        self.assertTrue(self.violations("deep", 900))
        self.assertEqual(self.violations("deep", 1200), [])

    def test_path_into_another_file(self):
        self.assertTrue(self.violations("relaxed", 600))

    def test_recursion_and_run_time_amounts(self):
        self.assertTrue(self.violations("recursive", 1 << 20))
        self.assertTrue(self.violations("variable", 1 << 20))

    def test_missing_entry(self):
        self.assertTrue(self.violations("renamed", 1 << 20))


if __name__ == "__main__":
    unittest.main()

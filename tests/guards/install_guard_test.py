# SPDX-License-Identifier: Apache-2.0
"""The guard of the installation must see what is missing and what lies in a wrong place."""
import os
import tempfile
import unittest

import install_guard

LIBDIR = "lib/x86_64-linux-gnu"


class InstallGuardTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        for path, executable in install_guard.expected(LIBDIR).items():
            self.put(path, 0o755 if executable else 0o644)

    def put(self, path, mode=0o644):
        full = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8"):
            os.chmod(full, mode)
        return full

    def problems(self):
        return install_guard.problems_in(self.folder.name, LIBDIR)

    def test_complete(self):
        self.assertEqual(self.problems(), [])

    def test_compressed_manual_counts(self):
        os.rename(os.path.join(self.folder.name, "usr/share/man/man1/tailback.1"), os.path.join(self.folder.name, "usr/share/man/man1/tailback.1.gz"))
        self.assertEqual(self.problems(), [])

    def test_missing(self):
        for path in install_guard.expected(LIBDIR):
            os.unlink(os.path.join(self.folder.name, path))
            self.assertTrue(self.problems(), path)
            self.put(path, 0o755)

    def test_not_executable(self):
        os.chmod(os.path.join(self.folder.name, "usr/bin/tailback"), 0o644)
        self.assertTrue(self.problems())

    def test_wrong_place(self):
        self.put("usr/local/lib/libtailback.so")
        self.assertTrue(self.problems())


if __name__ == "__main__":
    unittest.main()

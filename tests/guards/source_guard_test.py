# SPDX-License-Identifier: Apache-2.0
"""The guard of the layout must see includes against the direction, short paths and unsafe headers."""
import unittest

import source_guard

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


def violations(path, *lines):
    return source_guard.violations_of(path, LICENCE + "\n".join(lines), lambda target: "/" in target)


class SourceGuardTest(unittest.TestCase):
    def test_with_the_data(self):
        for path, target in (("preload/entry.cpp", "agent/engine/session.h"), ("agent/engine/drain.cpp", "agent/capture/ring.h"),
                             ("agent/capture/ring.h", "agent/trace/events.h"), ("tools/reports/text.cpp", "analyzers/report.h"),
                             ("analyzers/rules/cpu_spin.cpp", "analyzers/model/model.h"), ("analyzers/model/symbols.h", "analyzers/finding.h")):
            self.assertEqual(violations(path, f'#include "{target}"'), [], path)

    def test_against_the_data(self):
        for path, target in (("agent/capture/ring.h", "agent/engine/drain.h"), ("agent/trace/events.h", "agent/capture/ring.h"),
                             ("agent/engine/drain.cpp", "preload/real.h"), ("preload/entry.cpp", "analyzers/report.h"),
                             ("analyzers/model/model.h", "analyzers/report.h"), ("analyzers/pipeline.cpp", "tools/command.h"),
                             ("analyzers/pipeline.cpp", "agent/engine/drain.h"), ("tools/main.cpp", "agent/capture/ring.h"),
                             ("analyzers/report.cpp", "analyzers/rules/cpu_spin.h")):
            self.assertTrue(violations(path, f'#include "{target}"'), path)

    def test_short_paths(self):
        self.assertTrue(violations("tools/main.cpp", '#include "command.h"'))

    def test_unsafe_headers(self):
        self.assertTrue(violations("agent/capture/ring.h", "#include <mutex>"))
        self.assertEqual(violations("agent/engine/drain.cpp", "#include <cstdio>"), [])
        self.assertEqual(violations("agent/capture/ring.h", "#include <atomic>"), [])

    def test_licence(self):
        self.assertTrue(source_guard.violations_of("tools/main.cpp", "int main() {}\n", lambda target: True))


if __name__ == "__main__":
    unittest.main()

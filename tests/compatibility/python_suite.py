# SPDX-License-Identifier: Apache-2.0
"""Runs one module of CPython's own tests and prints each test's verdict, sorted: the same list at every run. To be run by the
interpreter that the tests belong to.

usage: python_suite.py MODULE"""
import io
import sys
import unittest


class Verdicts(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.verdicts = {}

    def note(self, test, verdict):
        if self.verdicts.get(test.id(), "ok") == "ok":  # a failed part outweighs the whole
            self.verdicts[test.id()] = verdict

    def addSuccess(self, test):
        self.note(test, "ok")

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "error")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failure")

    def addSkip(self, test, reason):
        self.note(test, "skipped")

    def addExpectedFailure(self, test, err):
        self.note(test, "expected failure")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failure")


if __name__ == "__main__":
    sys.argv = ["python_suite.py", sys.argv[1]]
    suite = unittest.defaultTestLoader.loadTestsFromName("test." + sys.argv[1])
    result = Verdicts()
    own_stdout, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
    suite.run(result)
    sys.stdout = own_stdout
    for name, verdict in sorted(result.verdicts.items()):
        print(verdict, name)
    for test, trace in result.errors + result.failures:
        print(test, trace, file=sys.stderr)

# SPDX-License-Identifier: Apache-2.0
"""Short and long forms of one torture script: ctest starts it once as each, and the long one does nothing unless asked for."""
import os
import sys
import unittest

from recording import LONG, SKIPPED

IS_LONG = os.environ.get("TAILBACK_FORM") == "long"


def rounds(short, long):
    return long if IS_LONG else short


def main():
    if IS_LONG and not LONG:
        print("the long form runs with TAILBACK_LONG=1 only")
        sys.exit(SKIPPED)
    unittest.main()

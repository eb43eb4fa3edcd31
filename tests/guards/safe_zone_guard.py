# SPDX-License-Identifier: Apache-2.0
"""Object files of the safe zone may refer to themselves, to the schema's own code, and to the committed list only: what runs
inside malloc, under any lock and in signal handlers must reach no heap, lock, stdio or exception by accident.

usage: safe_zone_guard.py ALLOWED_SYMBOLS OBJECT...
"""
import sys

import elf_object

LINKERS_OWN = {"_GLOBAL_OFFSET_TABLE_"}  # how position-independent code finds its data


def allowed_symbols(path):
    with open(path, encoding="utf-8") as source:
        lines = (line.split("#")[0].strip() for line in source)
        return {line for line in lines if line}


def violations(allowed, objects):
    own = set().union(*(elf_object.defined_in_object(path) for path in objects))
    found = []
    for path in objects:
        for name in sorted(elf_object.undefined_in_object(path) - own - allowed - LINKERS_OWN):
            found.append(f"{path.rsplit('/', 1)[-1]} refers to {name}")
    return found


def unused(allowed, objects):
    referred = set().union(*(elf_object.undefined_in_object(path) for path in objects))
    return [f"allowed, yet nobody refers to it: {name}" for name in sorted(allowed - referred)]


if __name__ == "__main__":
    symbols, paths = allowed_symbols(sys.argv[1]), sys.argv[2:]
    problems = violations(symbols, paths) + unused(symbols, paths) if paths else ["no object files given"]
    print("\n".join(problems) or f"{len(paths)} object files of the safe zone keep to the list")
    sys.exit(1 if problems else 0)

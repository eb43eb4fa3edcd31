# SPDX-License-Identifier: Apache-2.0
"""Holds libtailback.so to what a guest in foreign processes may be: each check returns its violations as sentences.

usage: library_guard.py LIBRARY HOOKS_DEF
"""
import re
import sys

import elf_object

ALLOWED_LIBRARIES = {"libc.so.6", "ld-linux-x86-64.so.2"}
# Registering destructors means dynamic initialisation, thread-local ones allocate at their first use.
FORBIDDEN_IMPORTS = {"__cxa_atexit", "__cxa_thread_atexit", "__cxa_thread_atexit_impl", "__cxa_guard_acquire", "__tls_get_addr", "abort"}
MAX_TLS_BYTES = 128  # of the 1,664 bytes that a process has for all libraries loaded late


def hook_names(hooks_def):
    with open(hooks_def, encoding="utf-8") as source:
        text = re.sub(r"//[^\n]*", "", source.read())
    return set(re.findall(r"^\s*HOOK\w*\(\s*(\w+)", text, re.M))


def check_exports(library, hooks_def):
    exported, hooks = elf_object.exported_symbols(library), hook_names(hooks_def)
    return ([f"exported but no hook: {name}" for name in sorted(exported - hooks)] +
            [f"hook that is not exported: {name}" for name in sorted(hooks - exported)])


def check_needed(library):
    return [f"needs another library: {name}" for name in sorted(elf_object.needed_libraries(library) - ALLOWED_LIBRARIES)]


def check_initialisers(library):
    # frame_dummy is the C runtime's own entry (crtbegin); it does nothing without a static frame registry.
    own = [name for name in elf_object.initialisers(library) if name != "frame_dummy"]
    if len(own) == 1:
        return []
    return [f".init_array must run exactly the constructor, it runs: {', '.join(own) or 'nothing'}"]


def check_imports(library):
    return [f"imports {name}" for name in sorted(elf_object.imported_symbols(library) & FORBIDDEN_IMPORTS)]


def check_thread_local_storage(library):
    size = elf_object.segment_memory_size(library, "TLS")
    return [f"thread-local storage of {size} bytes, allowed are {MAX_TLS_BYTES}"] if size > MAX_TLS_BYTES else []


def check_flags(library):
    entries = elf_object.dynamic_entries(library)
    flags = " ".join(text for tag, text in entries if tag in ("FLAGS", "FLAGS_1"))
    violations = []
    if any(tag == "TEXTREL" for tag, _ in entries) or "TEXTREL" in flags:
        violations.append("relocates its text")
    if not any(tag == "BIND_NOW" for tag, _ in entries) and "BIND_NOW" not in flags and "NOW" not in flags.split():
        violations.append("binds lazily (no -z now)")
    if "NODELETE" not in flags:
        violations.append("may be unloaded (no -z nodelete)")
    if "E" in (elf_object.segment_flags(library, "GNU_STACK") or "E"):
        violations.append("asks for an executable stack")
    if any(tag in ("RPATH", "RUNPATH") for tag, _ in entries):
        violations.append("carries a run path")
    return violations


def all_violations(library, hooks_def):
    return (check_exports(library, hooks_def) + check_needed(library) + check_initialisers(library) +
            check_imports(library) + check_thread_local_storage(library) + check_flags(library))


if __name__ == "__main__":
    found = all_violations(*sys.argv[1:3])
    print("\n".join(found) or "libtailback.so keeps its rules")
    sys.exit(1 if found else 0)

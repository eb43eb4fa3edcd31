# SPDX-License-Identifier: Apache-2.0
"""Bounds the stack that the agent takes from foreign threads: the deepest path of direct calls below each entry, from the
disassembly. Calls through pointers (the real functions) and out of the library end a path: their stack is the program's.

usage: stack_guard.py LIBRARY BUDGETS
BUDGETS: lines of "<regular expression of entries> <bytes>"; the first that matches counts; every entry must exist.
"""
import re
import subprocess
import sys

RETURN_ADDRESS = 8


class Function:
    def __init__(self, name):
        self.name = name
        self.frame = 0       # bytes below the return address at the deepest point
        self.dynamic = False # takes stack by a run-time amount
        self.calls = set()   # with a return address
        self.jumps = set()   # tail calls: the own frame is gone


def _follow(function, mnemonic, operands, depth):
    """Depth of the stack after an instruction."""
    if mnemonic.startswith("push"):
        return depth + 8
    if mnemonic.startswith("pop"):
        return depth - 8
    immediate = re.match(r"\$(-?0x[0-9a-f]+),%rsp$", operands)
    if immediate and mnemonic.startswith(("sub", "add")):
        amount = int(immediate.group(1), 16)
        amount -= 1 << 64 if amount >= 1 << 63 else 0
        return depth + amount if mnemonic.startswith("sub") else depth - amount
    if mnemonic.startswith("sub") and operands.endswith(",%rsp"):
        function.dynamic = True
    return depth


def functions_of(library):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", ".text", library], check=True, capture_output=True, text=True,
                          timeout=300, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout
    functions, current, depth = {}, None, 0
    for line in text.splitlines():
        header = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if header:
            current, depth = functions.setdefault(header.group(1), Function(header.group(1))), 0
            continue
        instruction = re.match(r"^\s+[0-9a-f]+:\s+(?:(?:addr32|bnd|notrack|data16)\s+)*(\S+)\s*(.*?)\s*(#.*)?$", line)
        if current is None or not instruction:
            continue
        mnemonic, operands = instruction.group(1), instruction.group(2)
        # The linear walk meets epilogues in mid function: the deepest point is the prologue's, so never fall below zero.
        depth = max(_follow(current, mnemonic, operands, depth), 0)
        current.frame = max(current.frame, depth)
        target = re.match(r"^[0-9a-f]+ <([^+>]+)>$", operands)
        if target and mnemonic.startswith("call"):
            current.calls.add(target.group(1))
        elif target and mnemonic.startswith("j") and target.group(1) != current.name:
            current.jumps.add(target.group(1))
    return functions


def deepest_path(functions, name, open_names=()):
    """(bytes, path) of the deepest chain of direct calls; recursion makes it infinite."""
    function = functions.get(name)
    if function is None:
        return 0, ()
    if name in open_names:
        return float("inf"), (name,)
    if function.dynamic:
        return float("inf"), (name + " (run-time amount)",)
    cache = functions.setdefault("\0paths", {})
    if name in cache:
        return cache[name]
    best, path = function.frame, ()
    below = open_names + (name,)
    for callee in function.calls:
        size, chain = deepest_path(functions, callee, below)
        if function.frame + RETURN_ADDRESS + size > best:
            best, path = function.frame + RETURN_ADDRESS + size, chain
    for callee in function.jumps:
        size, chain = deepest_path(functions, callee, below)
        # A cold part split off by the compiler is entered by a jump with the frame still there.
        kept = function.frame if callee.startswith(name + ".") else 0
        if kept + size > best:
            best, path = kept + size, chain
    cache[name] = best, (f"{name} ({function.frame})",) + path
    return cache[name]


def budgets_of(path):
    with open(path, encoding="utf-8") as source:
        lines = (line.split("#")[0].split() for line in source)
        return [(re.compile(fields[0] + r"\Z"), int(fields[1])) for fields in lines if fields]


def violations(library, budgets):
    functions, found = functions_of(library), []
    names, claimed = list(functions), set()
    for pattern, limit in budgets:
        entries = [name for name in names if pattern.match(name) and name not in claimed]
        claimed.update(entries)
        if not entries:
            found.append(f"no function is called {pattern.pattern}")
        for name in entries:
            size, path = deepest_path(functions, name)
            if size > limit:
                found.append(f"{name} takes {size} bytes of stack, allowed are {limit}: {' > '.join(path)}")
    return found


if __name__ == "__main__":
    problems = violations(sys.argv[1], budgets_of(sys.argv[2]))
    print("\n".join(problems) or "every entry keeps to its stack budget")
    sys.exit(1 if problems else 0)

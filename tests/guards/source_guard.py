# SPDX-License-Identifier: Apache-2.0
"""Holds the sources to the layout: includes run one way only (preload -> engine -> capture -> trace; tools -> analyzers ->
analyzers/model -> trace), name the full path from the root, and the safe zone includes nothing that allocates, locks or throws.

usage: source_guard.py ROOT
"""
import os
import re
import sys

STAGES = {  # folder of a file -> folders that it may include from; the longest match counts
    "agent/trace": {"agent/trace"},
    "agent/capture": {"agent/capture", "agent/trace"},
    "agent/engine": {"agent/engine", "agent/capture", "agent/trace"},
    "preload": {"preload", "agent/engine", "agent/capture", "agent/trace"},
    "analyzers/model": {"analyzers/model", "agent/trace"},
    "analyzers/foreign": {"analyzers/foreign", "analyzers/model", "agent/trace"},
    "analyzers/rules": {"analyzers/rules", "analyzers/model", "analyzers", "agent/trace"},
    "analyzers": {"analyzers", "analyzers/foreign", "analyzers/model", "agent/trace"},
    "tools": {"tools", "analyzers", "analyzers/model", "agent/trace"},
}
PLAIN_DATA = {"analyzers/finding.h", "analyzers/input_error.h"}  # depend on nothing; open to every offline stage
REGISTRY = {"analyzers/registry.cpp": "analyzers/rules"}  # the one list of all rules
SAFE_ZONE = ("agent/capture", "agent/trace")
SAFE_ZONE_FORBIDDEN = re.compile(
    r"<(string|vector|map|unordered_map|set|list|deque|memory|functional|mutex|shared_mutex|condition_variable|thread|future|iostream|"
    r"sstream|fstream|stdexcept|filesystem|regex|cstdio|stdio\.h|locale|any|format)>")
OFFLINE_PARTS = {"agent/trace/decode.h", "agent/trace/decode.cpp", "agent/trace/print.h", "agent/trace/print.cpp"}  # read dumps; never preloaded


def stage_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in STAGES:
        folder = os.path.dirname(folder)
    return folder


def violations_of(path, text, exists):
    stage, found = stage_of(path), []
    for number, line in enumerate(text.splitlines(), 1):
        quoted = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        where = f"{path}:{number}"
        if quoted:
            target = quoted.group(1)
            if not exists(target):
                found.append(f"{where} includes {target}, which is no path from the root")
            elif stage_of(target) not in STAGES[stage] and target not in PLAIN_DATA and REGISTRY.get(path) != stage_of(target):
                found.append(f"{where} includes {target}, against the direction of the data")
        elif stage in SAFE_ZONE and path not in OFFLINE_PARTS and re.match(r"\s*#\s*include", line) and SAFE_ZONE_FORBIDDEN.search(line):
            found.append(f"{where} brings {line.split()[-1]} into the safe zone")
    if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
        found.append(f"{path} does not open with the licence line")
    return found


def sources(root):
    for top in ("agent", "preload", "analyzers", "tools"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".h", ".cpp", ".def", ".S")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def violations(root):
    found = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as source:
            found += violations_of(path, source.read(), lambda target: os.path.exists(os.path.join(root, target)))
    return found


if __name__ == "__main__":
    problems = violations(sys.argv[1])
    count = len(list(sources(sys.argv[1])))
    print("\n".join(problems) or f"{count} sources keep the layout")
    sys.exit(1 if problems or count == 0 else 0)

# SPDX-License-Identifier: Apache-2.0
"""What binutils say about an ELF file, as Python values. Reads only; knows nothing of what is allowed."""
import re
import subprocess


def _output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


def dynamic_entries(path):
    """List of (tag, text), for instance ("NEEDED", "Shared library: [libc.so.6]")."""
    rows = re.findall(r"^\s*0x[0-9a-f]+ \((\w+)\)\s+(.*)$", _output("readelf", "-dW", path), re.M)
    return [(tag, text.strip()) for tag, text in rows]


def needed_libraries(path):
    return {re.search(r"\[(.*)\]", text).group(1) for tag, text in dynamic_entries(path) if tag == "NEEDED"}


def _dynamic_symbols(path, *options):
    names = set()
    for line in _output("nm", "-D", *options, path).splitlines():
        name = line.split()[-1]
        names.add(name)
    return names


def exported_symbols(path):
    """Names without version; version nodes themselves (absolute symbols) are left out."""
    names = set()
    for line in _output("nm", "-D", "--defined-only", path).splitlines():
        kind, name = line.split()[-2:]
        if kind != "A":
            names.add(name.split("@")[0])
    return names


def imported_symbols(path):
    return {name.split("@")[0] for name in _dynamic_symbols(path, "--undefined-only")}


def undefined_in_object(path):
    return {line.split()[-1] for line in _output("nm", "--undefined-only", path).splitlines() if line.strip()}


def defined_in_object(path):
    return {line.split()[-1] for line in _output("nm", "--defined-only", path).splitlines() if line.strip()}


def section_size(path, name):
    match = re.search(r"\]\s+" + re.escape(name) + r"\s+\S+\s+[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)", _output("readelf", "-SW", path))
    return int(match.group(1), 16) if match else 0


def segment_memory_size(path, kind):
    match = re.search(r"^\s*" + kind + r"\s+0x\S+\s+0x\S+\s+0x\S+\s+0x\S+\s+0x([0-9a-f]+)", _output("readelf", "-lW", path), re.M)
    return int(match.group(1), 16) if match else 0


def segment_flags(path, kind):
    match = re.search(r"^\s*" + kind + r"\s+0x\S+\s+0x\S+\s+0x\S+\s+0x\S+\s+0x\S+\s+([RWE ]+?)\s+0x", _output("readelf", "-lW", path), re.M)
    return match.group(1).replace(" ", "") if match else None


def _section_range(path, name):
    match = re.search(r"\]\s+" + re.escape(name) + r"\s+\S+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)", _output("readelf", "-SW", path))
    if not match:
        return range(0)
    start, size = int(match.group(1), 16), int(match.group(2), 16)
    return range(start, start + size)


def initialisers(path):
    """Names of the functions that .init_array runs, by its relocations."""
    slots = _section_range(path, ".init_array")
    names = {}
    for line in _output("nm", path).splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "tTwW":
            names.setdefault(int(fields[0], 16), fields[2])
    found = []
    for line in _output("readelf", "-rW", path).splitlines():
        relocation = re.match(r"^([0-9a-f]{16})\s+\S+\s+R_X86_64_(RELATIVE|64)\s+(.*)$", line)
        if relocation and int(relocation.group(1), 16) in slots:
            target = relocation.group(3).split()
            address = int(target[0], 16)
            found.append(names.get(address, hex(address)))
    return found

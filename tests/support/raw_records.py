# SPDX-License-Identifier: Apache-2.0
"""Reads a dump without tailback: an independent decoder of docs/trace_format.md, for judging what the analysis says.
The fields come from the schema itself (agent/trace/events.def); nothing else is shared with the product's reader."""
import collections
import mmap
import os
import re
import struct
import subprocess
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
HEADER_BYTES, BLOCK_BYTES = 4096, 64 * 1024
BLOCK_HEADER = struct.Struct("<IIIIQII")
BLOCK_MAGIC = 0x4B4C4254
FRAME_CODE, FRAME_UNKNOWN_BEYOND, FRAME_GENERATION, FRAME_FOLDED = range(4)


def schema():
    """{id: (name, [(type, field)])}"""
    events = {}
    with open(os.path.join(ROOT, "agent", "trace", "events.def"), encoding="utf-8") as source:
        for line in source:
            begin = re.match(r"EVENT_BEGIN\((\w+), *\w+, *(\d+)", line)
            field = re.match(r"\s*FIELD\((\w+), *(\w+)", line)
            if begin:
                fields = []
                events[int(begin.group(2))] = (begin.group(1), fields)
            elif field:
                fields.append((field.group(1), field.group(2)))
    return events


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data, at, end, layout):
    record = {}
    for kind, name in layout:
        if at >= end:
            record[name] = b"" if kind == "str" else 0
            continue
        value, at = _varint(data, at)
        if kind == "str":
            value, at = data[at:at + value], at + value
        elif kind == "i64":
            value = (value >> 1) ^ -(value & 1)
        record[name] = value
    return record


def _blocks(data):
    """Yields (index, first byte, one past the last) of the records of each block."""
    for index, start in enumerate(range(HEADER_BYTES, len(data) - BLOCK_HEADER.size + 1, BLOCK_BYTES)):
        magic, committed = BLOCK_HEADER.unpack_from(data, start)[:2]
        if magic == BLOCK_MAGIC:
            yield index, start + BLOCK_HEADER.size, start + BLOCK_HEADER.size + committed


def _numbered_records(path):
    events = schema()
    with open(path, "rb") as source:
        data = source.read()
    for index, at, end in _blocks(data):
        while at < end:
            kind, at = _varint(data, at)
            size, at = _varint(data, at)
            if kind in events:
                yield index, events[kind][0], _fields(data, at, at + size, events[kind][1])
            at += size


def records(path):
    """Yields (name, {field: value}) in the order of the file."""
    for _, name, record in _numbered_records(path):
        yield name, record


def block_with(path, name):
    """Index of the block that holds the first record of a kind, or None."""
    return next((index for index, found, _ in _numbered_records(path) if found == name), None)


def tables(path):
    """{record name: [fields, ...]}"""
    result = collections.defaultdict(list)
    for name, record in records(path):
        result[name].append(record)
    return result


REQUESTS_AT, REQUESTS = 48, ("flush", "look", "stop")  # in the header: pairs of (wanted, done)


def asked(path, request, timeout=5):
    """Asks the agent that writes the dump for something, as agent/trace/layout.h says; the number of the answered request."""
    at = REQUESTS_AT + 8 * REQUESTS.index(request)
    with open(path, "r+b") as dump, mmap.mmap(dump.fileno(), HEADER_BYTES) as header:
        wanted = struct.unpack_from("<I", header, at)[0] + 1
        struct.pack_into("<I", header, at, wanted)
        end = time.monotonic() + timeout
        while struct.unpack_from("<I", header, at + 4)[0] != wanted:
            if time.monotonic() > end:
                raise AssertionError(f"no answer to {request} within {timeout} s")
            time.sleep(0.01)
        return wanted


def frames_of(table, stack):
    """(frames, whether those beyond are unknown) of a stack."""
    nodes = {node["id"]: node for node in table["stack_node"]}
    depth, cut, node = 0, False, nodes.get(stack)
    while node is not None:
        cut |= node["kind"] == FRAME_UNKNOWN_BEYOND
        depth += node["kind"] == FRAME_CODE
        node = nodes.get(node["parent"])
    return depth, cut


class CompleteShare:
    """Share of the sampled CPU time whose stack reaches the root of its thread, judged by the outermost address alone."""

    def __init__(self):
        self.samples = self.deepest = 0
        self.complete = 0.0
        self.examples = []


def _entry_of(path):
    """Virtual address of an ELF file's entry point, or None."""
    try:
        with open(path, "rb") as source:
            head = source.read(64)
        return struct.unpack_from("<Q", head, 24)[0] if head[:4] == b"\x7fELF" else None
    except OSError:
        return None


def _root_ranges(table):
    """Address ranges of the functions in which a thread begins: each module's entry point (_start of the program and of the
    loader), and what libc's clone and clone3 run in, as its unwind table bounds them (they are the ranges with an undefined
    return address)."""
    ranges = []
    for module in table["module"]:
        path = module["path"].decode(errors="replace")
        entry = _entry_of(path)
        if entry:
            ranges.append(range(module["bias"] + entry, module["bias"] + entry + 64))
        if re.match(r"libc[.-]", os.path.basename(path)):
            for low, high in _ranges_without_caller(path):
                ranges.append(range(module["bias"] + low, module["bias"] + high))
    return ranges


_without_caller = {}


def _ranges_without_caller(path):
    if path not in _without_caller:
        text = subprocess.run(["readelf", "--debug-dump=frames", path], capture_output=True, text=True, timeout=120,
                              env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout
        found = []
        for entry in re.split(r"\n(?=[0-9a-f]{8} [0-9a-f]{16} )", text):
            bounds = re.search(r" FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)", entry.split("\n", 1)[0])
            if bounds and re.search(r"DW_CFA_undefined: r16 ", entry):
                found.append((int(bounds.group(1), 16), int(bounds.group(2), 16)))
        _without_caller[path] = found
    return _without_caller[path]


def complete_share(path):
    table, result = tables(path), CompleteShare()
    ranges = _root_ranges(table)
    nodes = {node["id"]: node for node in table["stack_node"]}
    total = whole = 0
    samples = [(sample["stack"], sample["samples"], sample["weight_ns"]) for sample in table["cpu_aggregate"]]
    samples += [(sample["stack"], 1, sample["weight_ns"]) for sample in table["cpu_sample"] if not sample["flags"] & 1]
    for stack, count, weight in samples:
        depth, cut, node = 0, False, nodes.get(stack)
        outermost = node
        while node is not None:
            if node["kind"] == FRAME_UNKNOWN_BEYOND:
                cut = True
            elif node["kind"] != FRAME_GENERATION:
                outermost, depth = node, depth + 1
            node = nodes.get(node["parent"])
        total += weight
        result.samples += count
        result.deepest = max(result.deepest, depth)
        if not cut and outermost is not None and any(outermost["address"] in where for where in ranges):
            whole += weight
        elif len(result.examples) < 5:
            result.examples.append(f"depth {depth}, outermost {outermost['address'] if outermost else 0:#x}, weight {weight / 1e6:.1f} ms")
    result.complete = whole / total if total else 0.0
    return result

# SPDX-License-Identifier: Apache-2.0
"""Tables that a command writes into a page of docs/, between the marks <!-- NAME begin --> and <!-- NAME end -->."""
import os

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")


def write(page, name, text):
    path, begin, end = os.path.join(DOCS, page), f"<!-- {name} begin -->", f"<!-- {name} end -->"
    with open(path, encoding="utf-8") as source:
        content = source.read()
    if begin not in content or end not in content:
        raise RuntimeError(f"{path} has no marks {begin} and {end}")
    before, after = content.split(begin, 1)[0], content.split(end, 1)[1]
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"{before}{begin}\n{text}\n{end}{after}")

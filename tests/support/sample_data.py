# SPDX-License-Identifier: Apache-2.0
"""Inputs for the recorded programs, made on the spot from fixed seeds: the same bytes on every machine."""
import json
import random


def text(megabytes, seed=7):
    """Words of a skewed choice: compresses like text, not like noise or zeros."""
    choice = random.Random(seed)
    words = ["".join(choice.choices("abcdefghijklmnopqrstuvwxyz", k=choice.randint(2, 10))) for _ in range(4000)]
    weights = [1.0 / (rank + 1) for rank in range(len(words))]
    wanted, parts, size = int(megabytes * 1e6), [], 0
    while size < wanted:
        line = " ".join(choice.choices(words, weights, k=2000)) + "\n"
        parts.append(line)
        size += len(line)
    return "".join(parts)[:wanted].encode()


def json_rows(count, seed=11):
    choice = random.Random(seed)
    rows = [{"id": number, "name": f"name {choice.randint(0, 200)}", "tags": [f"t{choice.randint(0, 50)}" for _ in range(4)],
             "value": {"x": choice.random(), "y": choice.randint(0, 1000)}} for number in range(count)]
    return json.dumps(rows).encode()


def cpp_source(functions=400):
    """A translation unit that keeps a C++ front end busy: templates over templates, and the standard library."""
    lines = ["#include <algorithm>", "#include <map>", "#include <string>", "#include <variant>", "#include <vector>",
             "template <int N> struct Step { static int run(int x) { return Step<N - 1>::run(x) + N; } };",
             "template <> struct Step<0> { static int run(int x) { return x; } };"]
    for number in range(functions):
        lines.append(f"int use{number}(std::map<std::string, std::vector<int>>& m) {{ auto& v = m[\"k{number}\"]; "
                     f"std::sort(v.begin(), v.end(), [](int a, int b) {{ return a % {number + 2} < b; }}); return Step<{200 + number}>::run(v[0]); }}")
    return "\n".join(lines).encode()


def deep_expression(depth=240, functions=8000):
    """A translation unit whose parser must recurse: one expression of nested brackets, many times."""
    nested = "(" * depth + "x" + "+1)" * depth
    return "\n".join(f"int deep{number}(int x) {{ return {nested}; }}" for number in range(functions)).encode()


SQL_CPU = """
WITH RECURSIVE n(i, x) AS (SELECT 1, 1 UNION ALL SELECT i + 1, (x * 1103515245 + 12345) % 2147483648 FROM n WHERE i < {rows})
SELECT count(*), sum(x % 97), max(x) FROM n;
"""


def sql(rows=1500000):
    return SQL_CPU.format(rows=rows).encode()


SQL_ALLOCATING = """
CREATE TABLE j(a INTEGER PRIMARY KEY, d TEXT);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {rows})
INSERT INTO j SELECT x, json_object('id', x, 'n', printf('name-%d-%s', x, hex(x * 7919)), 'arr', json_array(x, x + 1, 'abc' || x),
  'o', json_object('k', x % 97, 'pad', printf('%0200d', x))) FROM c;
SELECT count(*), sum(json_extract(d, '$.o.k')), sum(json_array_length(d, '$.arr')) FROM j;
SELECT sum(length(json_set(d, '$.z', json('[1,2,3]'), '$.o.q', a))) FROM j;
"""


def sql_allocating(rows):
    """Makes and reads JSON: each row takes some dozens of blocks."""
    return SQL_ALLOCATING.format(rows=rows).encode()


# Of json_rows, for jq and for python3 (FILE TIMES).
JQ_GROUPS = "[.[] | {n: .name, t: (.tags | length), y: .value.y}] | group_by(.n) | map({k: .[0].n, c: length, s: (map(.y) | add)}) | length"
PYTHON_JSON = b"""import json, sys
text, total = open(sys.argv[1]).read(), 0
for _ in range(int(sys.argv[2])):
    rows, names = json.loads(text), {}
    for row in rows:
        names.setdefault(row['name'], []).append((row['id'], row['value']['y']))
    total += len(json.dumps(rows[:20000])) + len(names)
print(total)
"""

PYTHON_CPU = """
def leaf(n):
    return sum(i * i % 7 for i in range(n))

def inner(depth):
    return leaf(60) if depth == 0 else inner(depth - 1) + 1

total = 0
for _ in range({rounds}):
    total += inner(20)
print(total)
"""


def python_script(rounds=400000):
    return PYTHON_CPU.format(rounds=rounds).encode()


def usual_cpp(units):
    """A C++ source as programs have them: library headers and templates that are instantiated `units` times over."""
    headers = "regex map unordered_map iostream string vector algorithm functional random future filesystem".split()
    body = "".join(f"struct T{i} {{ int x; bool operator<(const T{i}& o) const {{ return x < o.x; }} }};\n"
                   f"inline int f{i}() {{ std::map<T{i}, std::vector<std::string>> m; m[{{{i}}}].emplace_back(\"a\"); std::vector<T{i}> v(9); std::sort(v.begin(), v.end());\n"
                   f"  std::function<int(T{i})> g = [](T{i} t) {{ return t.x; }}; return g(v[0]) + static_cast<int>(m.size()); }}\n" for i in range(units))
    return ("".join(f"#include <{name}>\n" for name in headers) + body).encode()


# libltdl, as Debian's libtool carries it: a configure script of 480 KB with its helpers beside it, and sources to make.
UNPACK_PACKAGE = """set -e; from={unpacked}/usr/share; mkdir -p build-aux; cp -r $from/libtool src
for name in compile depcomp install-sh ltmain.sh missing; do cp $from/libtool/build-aux/$name build-aux; done
cp $from/misc/config.guess $from/misc/config.sub build-aux; cd src
"""
CONFIGURE = UNPACK_PACKAGE + "./configure -q"
CONFIGURE_AND_MAKE = CONFIGURE + "; make -s -j2 ACLOCAL=: AUTOMAKE=: AUTOCONF=: AUTOHEADER=: | sort; ls -R .libs"

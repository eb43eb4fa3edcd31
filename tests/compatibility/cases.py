# SPDX-License-Identifier: Apache-2.0
"""Programs that nobody here wrote, each with work to do and output that is the same at every run. One case a row of the table in
docs/compatibility.md; `hide` are patterns of what differs between two bare runs already (times, process ids)."""
import dataclasses
import functools

import sample_data
from recording import UNPACKED

COMMITTER = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z", "GIT_AUTHOR_NAME": "a",
             "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null",
             "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "init.defaultBranch", "GIT_CONFIG_VALUE_0": "main"}


@dataclasses.dataclass
class Case:
    name: str
    command: list                       # the first word is looked up in PATH and Debian's other folders
    stdin: bytes = b""
    files: tuple = ()                   # (name, content) in the working folder
    env: dict = dataclasses.field(default_factory=dict)
    hide: tuple = ()                    # regular expressions, replaced by @ in the output
    unwatched: tuple = ()               # files written whose content differs between two bare runs
    hide_stderr: bool = False           # it differs between two bare runs altogether
    watch_files: bool = True
    seconds: int = 120


@functools.cache
def text():
    return sample_data.text(2)


def bash(script):
    return ["bash", "-c", script]


PYTHON = b"""
import json, re, subprocess, sys, threading, zlib
sums = [0] * 4
def work(i): sums[i] = sum(range(200000 * (i + 1)))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sums, subprocess.run(['sh', '-c', 'echo child; exit 4'], capture_output=True))
print(zlib.crc32(json.dumps([{'k': i, 'v': str(i)} for i in range(30000)]).encode()), len(re.findall(r'(\\d+)-(\\w+)', '12-ab ' * 20000)))
sys.stderr.write('to stderr\\n'); sys.exit(9)
"""
HELLO = b'#include <cstdio>\n#include <regex>\nint main() { std::regex r("h.*o"); std::puts(std::regex_match("hello", r) ? "hello" : "?"); return 3; }\n'
C_PARTS = (("a.c", b"int add(int a, int b) { return a + b; }\n"),
           ("main.c", b"#include <stdio.h>\nint add(int, int);\nint main(void) { printf(\"%d\\n\", add(40, 2)); return 0; }\n"))
MAKEFILE = b"all: prog\n\t./prog\nprog: a.o main.o\n\tcc -o prog a.o main.o\n%.o: %.c\n\tcc -O2 -c $<\n"
CMAKELISTS = b"cmake_minimum_required(VERSION 3.20)\nproject(p C)\nadd_executable(prog a.c main.c)\nenable_testing()\nadd_test(NAME t COMMAND prog)\n"
NODE = b"""
const {Worker, isMainThread, parentPort} = require('worker_threads');
const zlib = require('zlib'), crypto = require('crypto');
if (!isMainThread) { let s = 0; for (let i = 0; i < 3e7; i++) s = (s * 31 + i) | 0; parentPort.postMessage(s); }
else {
  const w = new Worker(__filename); w.on('message', m => console.log('worker', m));
  const h = crypto.createHash('sha256'); for (let i = 0; i < 20000; i++) h.update('x'.repeat(100)); console.log(h.digest('hex'));
  zlib.gzip(Buffer.alloc(1 << 20, 'ab'), (e, b) => console.log(b.length));
  setTimeout(() => { console.error('late'); process.exitCode = 4; }, 50);
}
"""
JAVA = b"""
import java.util.*; import java.util.concurrent.*;
public class Work {
  public static void main(String[] a) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(3); List<Future<Long>> sums = new ArrayList<>();
    for (int i = 0; i < 6; i++) { final int k = i; sums.add(pool.submit(() -> { long s = 0; Map<Integer, String> m = new HashMap<>();
      for (int j = 0; j < 200000; j++) { m.put(j % 5000, "v" + j); s += m.size() * (long) k; } return s; })); }
    for (Future<Long> f : sums) System.out.println(f.get());
    pool.shutdown(); System.gc(); System.exit(5);
  }
}
"""
RUST = b"""
use std::sync::{Arc, Mutex}; use std::thread;
fn main() {
  let total = Arc::new(Mutex::new(0u64));
  let hands: Vec<_> = (0..4).map(|i| { let t = total.clone(); thread::spawn(move || { let mut s = 0u64; for j in 0..3_000_000u64 { s = s.wrapping_mul(31) ^ (j + i); } *t.lock().unwrap() ^= s; }) }).collect();
  for h in hands { h.join().unwrap(); }
  println!("{}", total.lock().unwrap());
  let caught = std::panic::catch_unwind(|| { panic!("on purpose") });
  std::process::exit(if caught.is_err() { 6 } else { 0 });
}
"""
GO = b"""
package main

// int twice(int x) { return 2 * x; }
import "C"
import ("fmt"; "os"; "sync")

func main() {
	var group sync.WaitGroup
	sums := make([]uint64, 4)
	for i := range sums {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for j := uint64(0); j < 20000000; j++ { sums[i] = sums[i]*31 + j }
			sums[i] += uint64(C.twice(C.int(i)))
		}(i)
	}
	group.Wait()
	fmt.Println(sums)
	os.Exit(7)
}
"""
PHP = b"<?php $a = []; for ($i = 0; $i < 300000; $i++) { $a[$i % 1000] = ($a[$i % 1000] ?? 0) + $i; } echo md5(json_encode($a)), \"\\n\"; preg_match_all('/a(b+)/', str_repeat('abbb ', 20000), $m); echo count($m[1]), \"\\n\"; exit(3);"
RUBY = b"t = 4.times.map { |i| Thread.new { (1..200000).inject(:+) * i } }; puts t.map(&:value).inspect; puts `echo child`; h = Hash.new(0); 200000.times { |i| h[i % 97] += 1 }; puts h.size; exit 8"
LUA = b"local t = {} for i = 1, 400000 do t[i % 1000] = (t[i % 1000] or 0) + i end local s = 0 for k, v in pairs(t) do s = s + v end print(s) print(string.rep('ab', 5):gsub('a', 'x')) os.exit(4)"
TCL = b"set s 0; for {set i 0} {$i < 300000} {incr i} {incr s [expr {$i % 7}]}; puts $s; puts [exec echo child]; after 30 {set done 1}; vwait done; exit 5"
PERL = b"use threads; my @t = map { my $i = $_; threads->create(sub { my $s = 0; $s += $_ * $i for 1 .. 200000; $s }) } 1 .. 3; print join(',', map { $_->join } @t), \"\\n\"; local $SIG{ALRM} = sub { print \"alarm\\n\"; exit 5 }; alarm 1; my %h; while (1) { $h{$_ % 97} += $_ for 1 .. 1000 }"

CASES = [
    Case("bash", bash('trap "echo bye" EXIT; for i in {1..200}; do x=$((x+i)); done; (exit 3); echo $? $x; cat <(echo sub) | tr a-z A-Z; echo err >&2; exit 7')),
    Case("bash jobs and signals", bash('sleep 5 & kill $!; wait $!; echo $?; trap "echo usr1" USR1; kill -USR1 $$; kill -TERM $$')),
    Case("dash", ["dash", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); /bin/true; done; echo $i; ulimit -n; false"]),
    Case("python3", ["python3", "work.py"], files=(("work.py", PYTHON),)),
    Case("perl", ["perl", "work.pl"], files=(("work.pl", PERL),)),
    Case("git", bash("git init -q . && git add . && git commit -q -m one && git log --stat && git gc -q && git fsck && git rev-parse HEAD && git clone -q . copy && git -C copy log --oneline"),
         env=COMMITTER, files=(("text", text), ("more", b"more\n")), unwatched=("index", "logs/", "pack", "commit-graph", "bitmap")),
    Case("curl", ["curl", "-sS", "-i", "-r", "0-99", "file:///etc/passwd", "http://127.0.0.1:1/refused"]),
    Case("tar", bash("tar --sort=name --mtime=@0 -czf all.tgz -C /usr/include linux && tar -xzf all.tgz && tar -tzf all.tgz | sha256sum && rm -r linux")),
    Case("gzip", ["gzip", "-n", "-c", "-9"], stdin=text),
    Case("xz with two threads", ["xz", "-T2", "--block-size=256KiB", "-c", "-3"], stdin=text),
    Case("xz on damaged input", ["xz", "-d", "-c"], stdin=b"no xz at all"),
    Case("zstd with two threads", ["zstd", "-T2", "-q", "-c", "-9"], stdin=text),
    Case("bzip2", ["bzip2", "-c"], stdin=text),
    Case("openssl", bash("openssl dgst -sha512 text; openssl enc -aes-256-ctr -K 00 -iv 00 -in text | sha256sum; openssl s_client -connect 127.0.0.1:1 </dev/null 2>&1 | head -1"),
         files=(("text", text),), hide=(rb"[0-9A-F]{16}:",)),
    Case("ssh", bash("ssh-keygen -q -t rsa -N '' -f key && ssh-keygen -y -f key | cmp - <(cut -d' ' -f1-2 key.pub) ; ssh -G somewhere | head -5; ssh -o BatchMode=yes -p 1 127.0.0.1 true"),
         unwatched=("key", "key.pub"), hide=(rb"key.pub differ.*|- .*",)),
    Case("sqlite3", ["sqlite3", "data.db"], stdin=lambda: b"CREATE TABLE t(a, b); BEGIN;\n" + sample_data.sql(200000) +
         b"INSERT INTO t SELECT value, value * value FROM generate_series(1, 20000); COMMIT; SELECT sum(b) FROM t; SELECT nothing;\n"),
    Case("jq", ["jq", "-c", "group_by(.name) | map({key: .[0].name, count: length, sum: (map(.value.y) | add)})"], stdin=lambda: sample_data.json_rows(8000)),
    Case("awk", ["awk", "{ for (i = 1; i <= NF; ++i) ++n[$i] } END { for (w in n) if (n[w] > 500) print w, n[w] }"], stdin=text),
    Case("sed", ["sed", "-E", "s/([a-z])([a-z])/\\2\\1/g;5q"], stdin=text),
    Case("sort", ["sort", "--parallel=2", "-S", "1M", "-k2"], stdin=text, env={"TMPDIR": "/tmp"}),
    Case("find", ["find", "/usr/include", "-name", "*.h", "-newer", "/nowhere"]),
    Case("make", ["make", "-j2"], files=(*C_PARTS, ("Makefile", MAKEFILE)), hide=(rb"cc [^\n]*\n",)),
    Case("configure and make of libltdl", bash(sample_data.CONFIGURE_AND_MAKE.format(unpacked=UNPACKED)), unwatched=("config.log", "configure.lineno"), seconds=300),
    Case("cmake", bash("cmake -S . -B build >/dev/null && cmake --build build | sort && ctest --test-dir build | grep tests.passed"), files=(*C_PARTS, ("CMakeLists.txt", CMAKELISTS)),
         unwatched=("build/",)),
    Case("gcc", bash("g++ -O1 -o hello hello.cpp && ./hello"), files=(("hello.cpp", HELLO),)),
    Case("clang", bash("clang++-14 -O2 -c hello.cpp && sha256sum hello.o; clang++-14 -fsyntax-only -Weverything hello.cpp"), files=(("hello.cpp", HELLO),)),
    Case("ld", bash("cc -c a.c main.c && ld -r -o all.o a.o main.o && cc -static -o prog all.o && ./prog && nm all.o"), files=C_PARTS),
    Case("gdb", bash("cc -g -o prog a.c main.c && gdb -batch -ex 'break add' -ex run -ex bt -ex finish -ex continue ./prog"), files=C_PARTS,
         hide=(rb"process \d+", rb"0x[0-9a-f]+", rb"warning: Error disabling[^\n]*\n", rb"\[New Thread[^\n]*\n")),
    Case("node", ["node", "work.js"], files=(("work.js", NODE),)),
    Case("convert", bash("convert -size 300x200 gradient:red-blue -rotate 30 -resize 150% -depth 8 rgb:- | sha256sum"), env={"OMP_NUM_THREADS": "2"}),
    Case("php", ["php", "work.php"], files=(("work.php", PHP),)),
    Case("ruby", ["ruby", "work.rb"], files=(("work.rb", RUBY),)),
    Case("lua", ["lua5.4", "work.lua"], files=(("work.lua", LUA),)),
    Case("tclsh", ["tclsh", "work.tcl"], files=(("work.tcl", TCL),)),
    Case("java", bash("javac Work.java && java -Xmx256m Work"), files=(("Work.java", JAVA),)),
    Case("rust", bash("rustc -O work.rs 2>/dev/null && ./work"), files=(("work.rs", RUST),), hide=(rb"thread '[^']*' \(\d+\)", )),
    Case("go with cgo", bash("go build -o work work.go && ./work"), files=(("work.go", GO),), env={"GOCACHE": "/tmp/tailback-go-cache", "GO111MODULE": "off", "HOME": "/tmp"}, seconds=300),
    Case("stress-ng", ["stress-ng", "--quiet", "--seed", "1", "--cpu", "1", "--cpu-ops", "60", "--sigsegv", "1", "--sigsegv-ops", "200", "--fork", "1", "--fork-ops", "200", "--vfork", "1",
                       "--vfork-ops", "300", "--sigq", "1", "--sigq-ops", "2000", "--timer", "1", "--timer-ops", "200", "--sigsuspend", "1", "--sigsuspend-ops", "500", "--pthread", "1",
                       "--pthread-ops", "500", "--futex", "1", "--futex-ops", "2000", "--pipe", "1", "--pipe-ops", "2000", "--poll", "1", "--poll-ops", "2000", "--exec", "1", "--exec-ops", "100",
                       "--sigpending", "1", "--sigpending-ops", "2000", "--sigfd", "1", "--sigfd-ops", "2000", "--mmap", "1", "--mmap-ops", "4", "--clone", "1", "--clone-ops", "300",
                       "--daemon", "1", "--daemon-ops", "100", "--eventfd", "1", "--eventfd-ops", "2000", "--seccomp", "1", "--seccomp-ops", "50"],
         hide=(rb"\[\d+\]",)),
    Case("strace of a child", ["strace", "-f", "-o", "/dev/null", "sh", "-c", "echo traced; (exit 3)"]),
    Case("valgrind of a child", bash("cc -g -o prog a.c main.c && valgrind -q --error-exitcode=9 ./prog"), files=C_PARTS),
    Case("stdbuf and timeout", bash("timeout 1 stdbuf -oL yes tailback | head -3; timeout 0.2 sleep 5; echo $?; nice -n 1 env -i /bin/echo bare")),
    Case("script in a pseudo-terminal", ["script", "-qec", "tty; stty size; echo end", "/dev/null"], hide=(rb"/dev/pts/\d+",)),
    Case("setpriv and chroot", bash("setpriv --reuid=65534 --regid=65534 --clear-groups id; unshare -r id -u; unshare -rm sh -c 'mount -t tmpfs t /mnt && echo mounted'")),
    Case("apt-get in simulation", ["apt-get", "-s", "-qq", "install", "--reinstall", "bash"]),
    Case("dpkg-deb", bash("mkdir -p p/DEBIAN && printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: a\\nDescription: d\\n' >p/DEBIAN/control && SOURCE_DATE_EPOCH=0 dpkg-deb -b p p.deb && dpkg-deb -I p.deb | grep Version"),
         unwatched=("p.deb",)),
]

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a shared object of at least BYTES with debug data, for the symbol benchmark: a few heavy units are compiled, their
# objects copied with other symbol names, and all of it linked. The result is never run, so unresolved symbols do not matter.
# usage: make_debug_binary.sh OUTPUT [BYTES]
set -eu
output=$1
bytes=${2:-100000000}
source_file=$(dirname "$0")/symbols_heavy_unit.cpp
work=$(mktemp -d "${output}.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

for variant in 1 2; do
  ${CXX:-g++} -std=c++20 -O2 -g -fPIC -DVARIANT=$variant -DCOUNT=10 -c "$source_file" -o "$work/unit$variant.o" &
done
wait
for variant in 1 2; do test -s "$work/unit$variant.o"; done

copies=0
size=0
while [ "$size" -lt "$bytes" ]; do
  # Linked debug data takes about half of what the objects do: the rest is relocations and merged strings.
  for more in 1 2 3 4; do
    copies=$((copies + 1))
    variant=$((copies % 2 + 1))
    objcopy --prefix-symbols="copy${copies}_" "$work/unit$variant.o" "$work/copy$copies.o"
  done
  ${CXX:-g++} -shared -nostdlib -Wl,--unresolved-symbols=ignore-all -Wl,--build-id -o "$work/big.so" "$work"/copy*.o
  size=$(stat -c %s "$work/big.so")
  test "$copies" -lt 400
done
mv "$work/big.so" "$output"
echo "$output: $size bytes, $copies units"

#!/usr/bin/env bash
# Builds the facelatch of a board on Debian or a relative of it:
#   cross/build.sh aarch64-unknown-linux-gnu|armv7-unknown-linux-gnueabihf
# The last line says where the binary is. What is missing is installed (as root) or named.
cd "$(dirname "$0")/.."
. cross/targets.sh
use_target "${1:?which target? aarch64-unknown-linux-gnu or armv7-unknown-linux-gnueabihf}"

# Raspberry Pi OS bookworm has glibc 2.36; a binary that asks for newer symbols does not start there.
newest_glibc=2.36
# Wanted were 12 MB; docs/board.md says what fills it.
most_bytes=$((16800 * 1000))

for_board
cargo build "${board[@]}"

# The one with symbols stays, to see what fills it and to read a backtrace.
binary=$(stripped)
mkdir -p "$(dirname "$binary")"
"$triple-strip" -o "$binary" "$(built)/facelatch"
glibc=$(newest_glibc_of "$binary")
[[ $(printf '%s\n' "$newest_glibc" "$glibc" | sort -V | tail -n 1) == "$newest_glibc" ]] ||
  die "$binary needs glibc $glibc, and Raspberry Pi OS bookworm has $newest_glibc; build on Debian bookworm"
bytes=$(stat -c %s "$binary")
((bytes <= most_bytes)) ||
  die "$binary has $bytes bytes, more than $most_bytes; docs/board.md says what fills it"
libraries=$(readelf -d "$binary" | grep -o '\[lib[^]]*\]' | tr -d '[]' | paste -sd ' ')
echo "$binary: $bytes bytes, needs glibc $glibc and $libraries"

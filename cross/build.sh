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
most_bytes=$((16500 * 1000))

command -v rustup >/dev/null || die "no rustup, which brings the target's standard library; install it from Debian (rustup) or rustup.rs"
rustup target add "$target" >/dev/null 2>&1 ||
  die "rustup cannot add $target; run \`rustup target add $target\` to see why"
# binutils reads any ELF; libclang is for the bindings of V4L2, which are made at build time.
need "gcc-$triple" "libc6-dev-$arch-cross" binutils libclang-dev

suffix=${target//-/_}
export "CARGO_TARGET_${suffix^^}_LINKER=$triple-gcc" "CC_$suffix=$triple-gcc"
export "BINDGEN_EXTRA_CLANG_ARGS_$suffix=--target=$triple -I/usr/$triple/include"
# lld, which rustup brings, folds the many functions of tract that are the same code, and packs relocations.
lld=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/gcc-ld
[[ -x $lld/ld.lld ]] || die "this Rust has no rust-lld; update it by \`rustup update\`"
export "CARGO_TARGET_${suffix^^}_RUSTFLAGS=-Clink-arg=-fuse-ld=lld -Clink-arg=-B$lld -Clink-arg=-Wl,--icf=all -Clink-arg=-Wl,-z,pack-relative-relocs"
cargo build --locked --profile board --target "$target" --features v4l,rppal

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

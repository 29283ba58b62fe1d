#!/usr/bin/env bash
# Counts the instructions of one inference of MobileNet on bytes on a Raspberry Pi's processors and on one that has
# all there is (max), under qemu-user, and fails where they are more than 2 % over what cross/instructions.txt has:
#   cross/instructions.sh [--write]
# --write puts what was counted there instead. The kernels' tests run on each processor first.
cd "$(dirname "$0")/.."
. cross/targets.sh
need gcc qemu-user

recorded=cross/instructions.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
gcc -O2 -shared -fPIC -o "$scratch/count.so" cross/count.c

count() {
  emulate -cpu "$1" -plugin "$scratch/count.so" -d plugin -D "$scratch/log" \
    "${CARGO_TARGET_DIR:-target}/$target/release/examples/speed" 160 "$2" > /dev/null
  sed -n 's/^instructions //p' "$scratch/log"
}
# Tests and counts on the processors of a target.
processors() {
  use_target "$1"
  for_target
  need "libgcc-s1-$arch-cross"
  local build=(--locked --release --target "$target" -p facelatch-kernels) tests cpu
  cargo build "${build[@]}" --example speed
  tests=$(library_tests "${build[@]}")
  for cpu in "${@:2}"; do
    PROPTEST_CASES=${PROPTEST_CASES:-60} emulate -cpu "$cpu" "$tests" --quiet >&2 || die "a test failed on $cpu"
    # One inference more, less one.
    echo "$cpu $(($(count "$cpu" 1) - $(count "$cpu" 0)))"
  done
}
# In the order of their names, as join wants them.
{
  processors armv7-unknown-linux-gnueabihf cortex-a7
  processors aarch64-unknown-linux-gnu cortex-a72 cortex-a76 max
} > "$scratch/counted"
cat "$scratch/counted"
if [[ ${1:-} == --write ]]; then
  cp "$scratch/counted" "$recorded"
  exit
fi
join "$recorded" "$scratch/counted" | awk '
  { printf "%s: %.2f million instructions, %+.2f %% against %s\n", $1, $3 / 1e6, ($3 / $2 - 1) * 100, FILENAME == "-" ? "what is recorded" : FILENAME }
  $3 > $2 * 1.02 { worse = 1 }
  END { exit worse || NR != 4 }' || die "more than 2 % over $recorded: mend it, or record it by --write and say why"

#!/usr/bin/env bash
# Counts the instructions of one inference of MobileNet on bytes on a Raspberry Pi's processors and on one that has
# all there is (max, and by SME, which is taken only by its name), under qemu-user, and fails where they are more
# than 2 % over what cross/instructions.txt has:
#   cross/instructions.sh [--write]
# --write puts what was counted there instead. The kernels' tests run on each processor first.
cd "$(dirname "$0")/.."
. cross/targets.sh
need gcc qemu-user

recorded=cross/instructions.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
gcc -O2 -shared -fPIC -o "$scratch/count.so" cross/count.c

# Runs the kernels' tests on a processor.
try() {
  PROPTEST_CASES=${PROPTEST_CASES:-60} emulate -cpu "$1" "$tests" --quiet >&2 || die "a test failed on $1"
}
counted() {
  rm -f "$scratch/log"
  emulate -cpu "$1" -plugin "$scratch/count.so" -d plugin -D "$scratch/log" \
    "${CARGO_TARGET_DIR:-target}/$target/release/examples/speed" 160 "$2" > /dev/null || die "no inference on $1"
  sed -n 's/^instructions //p' "$scratch/log"
}
# count CPU [NAME]: one inference more, less one.
count() {
  local one none
  one=$(counted "$1" 1) none=$(counted "$1" 0)
  ((one > none && none > 0)) || die "nothing was counted on $1"
  echo "${2:-$1} $((one - none))"
}
# Builds for a target, and sets tests.
build() {
  use_target "$1"
  for_target
  need "libgcc-s1-$arch-cross"
  local build=(--locked --release --target "$target" -p facelatch-kernels)
  cargo build "${build[@]}" --example speed
  tests=$(library_tests "${build[@]}")
}
# Debian 12's QEMU gets SME's products wrong; Debian 13's, which counts nothing, gets them right. Sets emulator to that, or says that it cannot be had.
newer_emulator() {
  local to=${CARGO_TARGET_DIR:-target}/qemu apt
  [[ -x $to/qemu-aarch64 ]] || (
    own_apt "$(realpath -m "$to")" trixie "$(dpkg --print-architecture)"
    cd "$to" && apt-get "${apt[@]}" download qemu-user >> apt.log 2>&1 &&
      dpkg-deb --fsys-tarfile qemu-user_*.deb | tar -x -O ./usr/bin/qemu-aarch64 > partly &&
      chmod +x partly && mv partly qemu-aarch64 && rm -r cache lists qemu-user_*.deb
  ) || return
  emulator=$to/qemu-aarch64
}
{
  build armv7-unknown-linux-gnueabihf
  try cortex-a7
  count cortex-a7
  build aarch64-unknown-linux-gnu
  for cpu in cortex-a72 cortex-a76 max; do
    try "$cpu"
    count "$cpu"
  done
  FACELATCH_KERNELS=sme count max sme
  if newer_emulator; then
    # Vectors of 128 to 1,024 bits.
    for bytes in 16 32 64 128; do
      FACELATCH_KERNELS=sme try "max,sme-default-vector-length=$bytes"
    done
  else
    echo "SKIP: there is no newer QEMU here, so SME was counted and not tried" >&2
  fi
} | sort -k 1b,1 > "$scratch/counted"
cat "$scratch/counted"
if [[ ${1:-} == --write ]]; then
  cp "$scratch/counted" "$recorded"
  exit
fi
join "$recorded" "$scratch/counted" | awk '
  { printf "%s: %.2f million instructions, %+.2f %% against %s\n", $1, $3 / 1e6, ($3 / $2 - 1) * 100, FILENAME == "-" ? "what is recorded" : FILENAME }
  $3 > $2 * 1.02 { worse = 1 }
  END { exit worse || NR != 5 }' || die "more than 2 % over $recorded: mend it, or record it by --write and say why"

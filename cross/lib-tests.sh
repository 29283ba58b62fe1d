#!/usr/bin/env bash
# Builds the library's tests as what goes onto a board is built, and runs them by qemu-user:
#   cross/lib-tests.sh aarch64-unknown-linux-gnu|armv7-unknown-linux-gnueabihf [FILTER…]
# Property tests take 16 cases each, unless PROPTEST_CASES says otherwise.
cd "$(dirname "$0")/.."
. cross/targets.sh
use_target "${1:?which target? aarch64-unknown-linux-gnu or armv7-unknown-linux-gnueabihf}"
for_board
need qemu-user "libc6-$arch-cross" "libgcc-s1-$arch-cross"
tests=$(library_tests "${board[@]}" -p facelatch)
[[ -x $tests ]] || die "the tests do not build"
cpu=()
[[ $arch != arm64 ]] || cpu=(-cpu cortex-a72)
# qemu-user shows this machine's /proc/cpuinfo: tract is told which core it runs on.
PROPTEST_CASES=${PROPTEST_CASES:-16} TRACT_CPU_AARCH64_KIND=a72 \
  emulate "${cpu[@]}" "$tests" --test-threads 1 "${@:2}"

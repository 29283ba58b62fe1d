#!/usr/bin/env bash
# Runs what cross/build.sh built for a target by qemu-user, and the build for this machine beside it; both must
# decide alike on the demo's pictures, with scores that are the same but for rounding:
#   cross/demo.sh aarch64-unknown-linux-gnu|armv7-unknown-linux-gnueabihf
cd "$(dirname "$0")/.."
. cross/targets.sh
use_target "${1:?which target? aarch64-unknown-linux-gnu or armv7-unknown-linux-gnueabihf}"
need qemu-user "libc6-$arch-cross" "libgcc-s1-$arch-cross"
binary=$(stripped)
[[ -x $binary ]] || die "$binary is not there; run cross/build.sh $target first"
cargo build --locked
here=${CARGO_TARGET_DIR:-target}/debug/facelatch

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '[models]\ndetector = "models/detector-int8.onnx"\nembedding = "models/embedding-int8.onnx"\n' > "$scratch/config"
export RUST_LOG=error
# Comparing the two of the demo with themselves and each other, then the whole evening.
tell() {
  local pair
  for pair in "Alex/0 Alex/3" "Ben/1 Ben/4" "Alex/0 Ben/0" "Alex/2 Ben/3"; do
    # Exit code 1 says that they are two people.
    "$@" verify --config "$scratch/config" demo/enrol/{"${pair% *}","${pair#* }"}.jpg || [[ $? == 1 ]]
  done
  "$@" demo --out "$scratch/demo.png"
}
tell "$here" > "$scratch/here"
# qemu-user shows this machine's /proc/cpuinfo: tract is told which core it runs on.
TRACT_CPU_AARCH64_KIND=a72 tell emulate "$binary" > "$scratch/there"

# Every word and time must be the same, and scores too but for the last digit: the convolutions give the same bits on
# every processor, and f32 comes only after them.
words() { sed -E 's/(score|Alex:|Ben:) -?[0-9.]+/\1/' "$1"; }
scores() { grep -oE '(score|Alex:|Ben:) -?[0-9.]+' "$1" | cut -d' ' -f2; }
diff -u <(words "$scratch/here") <(words "$scratch/there") ||
  die "the target decides differently (- here, + on $target)"
apart=$(paste <(scores "$scratch/here") <(scores "$scratch/there") |
  awk '{ d = $1 > $2 ? $1 - $2 : $2 - $1; if (d > most) most = d } END { printf "%.3f", most }')
awk -v apart="$apart" 'BEGIN { exit !(apart <= 0.0011) }' ||
  die "a score on $target is $apart from this machine's, more than 0.001"
echo "$target decides as this machine does; scores differ by $apart at most:"
sed 's/^/  /' "$scratch/there"

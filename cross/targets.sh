# Sourced by the scripts here: what a board's target means on Debian. Sets target, triple (GNU's name),
# arch (Debian's name), emulator; fails with a sentence for a target that is none.
set -euo pipefail

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

use_target() {
  target=$1
  case $target in
    aarch64-unknown-linux-gnu) triple=aarch64-linux-gnu arch=arm64 emulator=qemu-aarch64 ;;
    armv7-unknown-linux-gnueabihf) triple=arm-linux-gnueabihf arch=armhf emulator=qemu-arm ;;
    *) die "$target: no board's target; there are aarch64-unknown-linux-gnu (Pi 3 and later, 64 bit) and armv7-unknown-linux-gnueabihf (Pi 2 and later, 32 bit)" ;;
  esac
}

# Installs those of the packages that are missing.
need() {
  local missing=() package
  for package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  [[ $(id -u) == 0 ]] || die "missing packages; run: sudo apt-get install --no-install-recommends ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >&2 ||
    die "cannot install ${missing[*]}; on another system than Debian find what they hold yourself"
}

# Sets all that cargo needs to build for the target.
for_target() {
  command -v rustup >/dev/null || die "no rustup, which brings the target's standard library; install it from Debian (rustup) or rustup.rs"
  rustup target add "$target" >/dev/null 2>&1 ||
    die "rustup cannot add $target; run \`rustup target add $target\` to see why"
  need "gcc-$triple" "libc6-dev-$arch-cross"
  local suffix=${target//-/_}
  export "CARGO_TARGET_${suffix^^}_LINKER=$triple-gcc" "CC_$suffix=$triple-gcc"
}

# The target's programs run by qemu-user: emulate [OPTION…] PROGRAM [ARGUMENT…]. Where this machine has a libc of the
# board's own architecture as well, the loader would mix the two.
emulate() { "$emulator" -L "/usr/$triple" -E "LD_LIBRARY_PATH=/usr/$triple/lib" "$@"; }

# library_tests OPTION…: builds the tests of a library; where they are.
library_tests() {
  cargo test "$@" --lib --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# Sets all that cargo needs to build for the target what goes onto a board, in the profile `board`.
for_board() {
  for_target
  # binutils reads any ELF; libclang is for the bindings of V4L2, which are made at build time.
  need binutils libclang-dev

  local suffix=${target//-/_} lld
  export "BINDGEN_EXTRA_CLANG_ARGS_$suffix=--target=$triple -I/usr/$triple/include"
  # lld, which rustup brings, folds the many functions of tract that are the same code, and packs relocations.
  lld=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/gcc-ld
  [[ -x $lld/ld.lld ]] || die "this Rust has no rust-lld; update it by \`rustup update\`"
  export "CARGO_TARGET_${suffix^^}_RUSTFLAGS=-Clink-arg=-fuse-ld=lld -Clink-arg=-B$lld -Clink-arg=-Wl,--icf=all -Clink-arg=-Wl,-z,pack-relative-relocs"
  board=(--locked --profile board --target "$target" --features v4l,rppal)
}

# Where cargo puts what is built for the target.
built() {
  echo "${CARGO_TARGET_DIR:-target}/$target/board"
}

# What goes onto the board: the same without symbols.
stripped() {
  echo "$(built)/stripped/facelatch"
}

# The newest glibc that a binary asks for; binutils read any ELF. Packed relocations came with 2.36.
newest_glibc_of() {
  readelf --wide -V "$1" | sed 's/GLIBC_ABI_DT_RELR/GLIBC_2.36/' | grep -o 'GLIBC_2[0-9.]*' | sort -uV | tail -n 1 | cut -d_ -f2
}

# Where this machine's apt has Debian from.
mirror() {
  local uri
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
  [[ -n $uri ]] || die "apt knows no Debian here; set one up in /etc/apt/sources.list"
  echo "${uri%/}"
}

# own_apt FOLDER RELEASE ARCHITECTURES: an apt of its own in the folder, which leaves this machine's architectures
# and packages alone. Sets apt, its options; it writes to FOLDER/apt.log.
own_apt() {
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg uri
  uri=$(mirror) || exit
  mkdir -p "$1"/{lists/partial,cache/archives/partial}
  echo "deb [signed-by=$keys] $uri $2 main" > "$1/sources.list"
  : > "$1/status"
  apt=(-q -o Dir::Etc::sourcelist="$1/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$1/lists" -o Dir::State::status="$1/status" -o Dir::Cache="$1/cache"
    -o "APT::Architectures=$3" -o APT::Sandbox::User=root
    -o APT::Update::Error-Mode=any)
  apt-get "${apt[@]}" update > "$1/apt.log" 2>&1 || die "cannot read the packages of $2; see $1/apt.log"
}

# Removes a folder in which another system lay. One that was interrupted may have left mounts in it, and what
# is mounted is this machine's own: it is let go first, and never removed through.
discard() {
  local inside
  inside=$(awk -v under="$(realpath -m "$1")/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r)
  for mount in $inside; do
    umount "$mount" || die "$mount is mounted and cannot be let go; unmount it before $1 is removed"
  done
  rm -rf --one-file-system "$1"
}

# Sourced by run.sh and raspi3b.sh, with their arguments: what both emulated boards are made of. Sets package, and work
# with Debian in work/debian and its kernel, of that version, in work/kernel.
# shellcheck shell=bash
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
. "$here/../targets.sh"
package=$(realpath "${1:?which package? cross/deb.sh makes it}")
work=$(realpath -m "${2:-$(dirname "$package")/vm}")
[[ $(id -u) == 0 ]] || die "a Debian is made by root; run this with sudo"
mkdir -p "$work"
need qemu-system-arm cpio
"$here/../root.sh" arm64 "$work/debian"
"$here/kernel.sh" "$work/kernel"
version=$(< "$work/kernel/version")

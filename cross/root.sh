#!/usr/bin/env bash
# Makes a small Debian bookworm of a board's architecture in a folder, once, to test the package in:
#   cross/root.sh arm64|armhf FOLDER
# Its programs run by qemu-user: this needs root, and /proc/sys/fs/binfmt_misc.
. "$(dirname "$0")/targets.sh"
arch=${1:?which architecture? arm64 or armhf}
root=${2:?in which folder?}
# udev makes the camera's device file in the guest, dbus is for systemctl there, v4l-utils sets the camera's controls.
packages=systemd,systemd-sysv,udev,kmod,dbus,busybox-static,v4l-utils
[[ $(cat "$root.done" 2> /dev/null) == "$packages" ]] && exit 0
[[ $(id -u) == 0 ]] || die "a Debian is made by root; run this with sudo"
case $arch in
  arm64) emulator=qemu-aarch64 ;;
  armhf) emulator=qemu-arm ;;
  *) die "$arch: no board's architecture; there are arm64 and armhf" ;;
esac
need debootstrap qemu-user-static

binfmt=/proc/sys/fs/binfmt_misc
[[ -e $binfmt/register ]] || mount -t binfmt_misc binfmt_misc "$binfmt" ||
  die "no binfmt_misc here, so programs for $arch cannot be run as if they were this machine's"
[[ -e $binfmt/$emulator ]] || cat "/usr/lib/binfmt.d/$emulator.conf" > "$binfmt/register"

discard "$root"
log=$root.log
debootstrap --arch="$arch" --variant=minbase --include="$packages" \
  bookworm "$root" "$(mirror)" > "$log" 2>&1 || die "debootstrap failed; see $log"
echo "$packages" > "$root.done"

#!/usr/bin/env bash
# Boots an emulated arm64 board with Debian's kernel, and the package in it; then does what guest.sh says:
#   cross/vm/run.sh PACKAGE.deb [FOLDER [GROUP…]]
# FOLDER (default: vm beside the package) keeps Debian and its kernel for the next time. The groups of checks are
# in faults.sh (default: all).
. "$(dirname "$(realpath "$0")")/board.sh"
need e2fsprogs

# The board's root: Debian, the package, the test, and of the kernel's modules those that are used.
root=$work/root
discard "$root"
cp -a "$work/debian" "$root"
cp "$package" "$root/facelatch.deb"
chroot "$root" dpkg -i /facelatch.deb > "$work/install.log" 2>&1 || die "the package does not install; see $work/install.log"
install -m 755 "$here/guest.sh" "$root/usr/local/bin/guest-test"
install -m 644 "$here/faults.sh" "$root/usr/local/lib/guest-faults"
cp "$here/../../facelatch.example.toml" "$root/usr/share/facelatch/"
cat > "$root/etc/systemd/system/guest-test.service" <<U
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/usr/local/bin/guest-test ${*:3}
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
U
ln -sf /etc/systemd/system/guest-test.service "$root/etc/systemd/system/multi-user.target.wants/"
rm -f "$root"/etc/systemd/system/{timers.target.wants,sysinit.target.wants}/*
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyAMA0.service"

boot_modules="virtio_mmio virtio_pci virtio_blk ext4"
modules() {
  for name; do
    modprobe -d "$work/kernel/image" -S "$version" --show-depends "$name" | sed -n "s#^insmod $work/kernel/image/\([^ ]*\).*#\1#p"
  done | awk '!seen[$0]++'
}
for module in $(modules $boot_modules vivid gpio-sim configfs loop); do
  install -D -m 644 "$work/kernel/image/$module" "$root/$module"
done
cp "$work/kernel/image/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$version/"
depmod -b "$root" "$version"
rm -f "$work/disk.img"
mke2fs -q -t ext4 -d "$root" "$work/disk.img" 600M || die "cannot make the board's disk"

# Debian's kernel finds its disk by modules: a small initrd brings them.
initrd=$work/initrd
rm -rf "$initrd"
mkdir -p "$initrd"/{bin,dev,proc,sys,new}
cp "$root/bin/busybox" "$initrd/bin/"
for module in $(modules $boot_modules); do
  cp "$work/kernel/image/$module" "$initrd/"
  basename "$module"
done > "$initrd/order"
cat > "$initrd/init" <<'I'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "/$module"; done < /order
until [ -b /dev/vda ]; do /bin/busybox usleep 50000; done
/bin/busybox mount -t ext4 /dev/vda /new
/bin/busybox umount /dev
exec /bin/busybox switch_root /new /sbin/init
I
chmod +x "$initrd/init"
(cd "$initrd" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initrd.gz"

log=$work/console.log
# The guest's clock counts instructions, one a nanosecond, as a core of a Pi 3 would run them about: what it
# measures does not depend on how busy this machine is, and where it waits nobody has to. (In the foreground: whoever
# stops this script stops it too.)
timeout --foreground 3600 qemu-system-aarch64 -M virt -cpu cortex-a72 -icount shift=0,sleep=off -m 1024 -nographic -no-reboot -nic none \
  -kernel "$work/kernel/image/boot/vmlinuz-$version" -initrd "$work/initrd.gz" \
  -drive file="$work/disk.img",format=raw,if=none,id=disk,cache=unsafe -device virtio-blk-device,drive=disk \
  -append "console=ttyAMA0 rw panic=-1 quiet systemd.show_status=0 net.ifnames=0" < /dev/null | tee "$log"
grep -q '^DONE after .* 0 failed' "$log" || die "not everything held; see $log"

#!/usr/bin/env bash
# Boots an emulated Raspberry Pi 3B with Debian's kernel, drives the strike by rppal in it, and reads the registers of
# its GPIO block from outside, by QEMU's monitor; inside, outside and what facelatch says must agree:
#   cross/vm/raspi3b.sh PACKAGE.deb [FOLDER]
# FOLDER (default: vm beside the package) keeps Debian and its kernel for the next time.
. "$(dirname "$(realpath "$0")")/board.sh"
image=$work/kernel/image

# All in memory: the package, what its binary is linked with, and busybox.
root=$work/raspi3b
discard "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp,var/lib/facelatch,lib/aarch64-linux-gnu}
dpkg-deb -x "$package" "$root"
rm -rf "$root/usr/share/doc"
cp "$work/debian/bin/busybox" "$root/bin/"
cp -L "$work/debian/lib/ld-linux-aarch64.so.1" "$root/lib/"
for library in libc.so.6 libm.so.6 libgcc_s.so.1; do
  cp -L "$work/debian/lib/aarch64-linux-gnu/$library" "$root/lib/aarch64-linux-gnu/"
done
# After each step it says which, and what it reads of the registers itself, and stays there for long enough to read them
# from outside too. (It cannot be told to go on: on a Pi 3 the console that it writes to is read by the Bluetooth driver.)
cat > "$root/init" <<'I'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
config=/etc/facelatch/facelatch.toml
registers() { echo "$(devmem 0x3f200004) $(devmem 0x3f200034)"; }
at() {
  found=$(registers)
  echo "AT $1 $found"
  sleep 8
  [ "$(registers)" = "$found" ] || echo "FAIL $1: it did not stay so: $(registers)"
}
fail() { echo "FAIL $*"; tail -n 20 /tmp/run; }
wired() { sed -i "/^\[door\]/,/^\[[^d]/{s/^lock = .*/lock = \"$1\"/; s/^pulse = .*/pulse = \"30s\"/; s/^longest = .*/longest = \"40s\"/}" $config; }
run() {
  facelatch run > /tmp/run 2>&1 &
  daemon=$!
  # There is no camera, which it says when all else is done.
  until grep -q "no camera: no face" /tmp/run; do
    [ -d /proc/$daemon ] || { fail "the daemon ended"; return; }
    sleep 1
  done
}
at untouched
wired rppal:17
facelatch lock || fail "it cannot be locked"
at locked
run
at running
# It says so when it starts as well.
locked() { grep -c "strike locked" /tmp/run; }
before=$(locked)
facelatch unlock --reason "a test" || fail "it cannot be opened"
at released
until [ "$(locked)" -gt "$before" ]; do sleep 1; done
at locked_again
facelatch unlock --reason "a test"
kill -9 $daemon; sleep 1
at killed
facelatch lock
at locked_after_the_kill
wired rppal:17,active-low
facelatch lock
at locked_low
run
facelatch unlock --reason "a test"
at released_low
kill $daemon; wait $daemon
at stopped_low
echo END
I
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/raspi3b.gz"

# What the guest says comes by a pipe, the monitor is asked by two more.
serial=$work/raspi3b.serial
rm -f "$serial"
mkfifo "$serial"
exec {from_guest}<> "$serial"
# There is no gpiomem in Debian's kernel: with iomem=relaxed root may drive the registers by /dev/mem.
coproc monitor { exec timeout --foreground 900 qemu-system-aarch64 -M raspi3b -display none -no-reboot -monitor stdio -serial "file:$serial" \
  -kernel "$image/boot/vmlinuz-$version" -initrd "$work/raspi3b.gz" \
  -dtb "$image/usr/lib/linux-image-$version/broadcom/bcm2837-rpi-3-b.dtb" \
  -append "console=ttyAMA0,115200 quiet panic=-1 iomem=relaxed" 2> "$work/raspi3b.log"; }
exec {to_monitor}>&"${monitor[1]}" {from_monitor}<&"${monitor[0]}"
trap 'echo quit >&"$to_monitor" || true' EXIT

# register ADDRESS: what the board has there, read past everything that runs on it.
register() {
  local line
  echo "xp /1wx $1" >&"$to_monitor"
  while IFS= read -r -t 60 -u "$from_monitor" line; do
    if [[ $line =~ ^0*${1#0x}:\ (0x[0-9a-f]{8}) ]]; then
      echo "${BASH_REMATCH[1]}"
      return
    fi
  done
  die "the monitor does not answer"
}

# What each step must leave: whether GPIO17 is an output (bits 21 to 23 of GPFSEL1 are 1), and its level (bit 17 of
# GPLEV0). A process that is killed leaves the registers as they are: src/door/mod.rs.
declare -A wanted=([untouched]="0 0" [locked]="1 0" [running]="1 0" [released]="1 1" [locked_again]="1 0" [killed]="1 1"
  [locked_after_the_kill]="1 0" [locked_low]="1 1" [released_low]="1 0" [stopped_low]="1 1")
failures=0 seen=0
while IFS= read -r -t 600 -u "$from_guest" line; do
  line=${line%$'\r'}
  case $line in
    "AT "*)
      read -r _ step inner_function inner_level <<< "$line"
      outer_function=$(register 0x3f200004)
      outer_level=$(register 0x3f200034)
      found="$((outer_function >> 21 & 7)) $((outer_level >> 17 & 1))"
      inside="$((inner_function >> 21 & 7)) $((inner_level >> 17 & 1))"
      if [[ $found == "${wanted[$step]}" && $inside == "$found" ]]; then
        echo "PASS $step: GPFSEL1 $outer_function, GPLEV0 $outer_level"
      else
        echo "FAIL $step: function and level are $found outside and $inside inside, not ${wanted[$step]}"
        failures=$((failures + 1))
      fi
      seen=$((seen + 1))
      ;;
    FAIL*)
      echo "$line"
      failures=$((failures + 1))
      ;;
    END) break ;;
    *) echo "      $line" ;;
  esac
done
((failures == 0 && seen == ${#wanted[@]})) || die "$failures of $seen steps failed, ${#wanted[@]} were to be taken"
echo "DONE, $seen steps"

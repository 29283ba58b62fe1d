#!/usr/bin/env bash
# Fetches Debian's arm64 kernel and builds its GPIO simulator, which Debian leaves out, against it:
#   cross/vm/kernel.sh FOLDER
# FOLDER/image then holds boot/vmlinuz-VERSION and lib/modules/VERSION, FOLDER/version the version.
. "$(dirname "$0")/../targets.sh"
work=$(realpath -m "${1:?in which folder?}")
[[ -e $work/version ]] && exit 0
need gcc-aarch64-linux-gnu make bc kmod libelf1 xz-utils ca-certificates
mkdir -p "$work/debs"

own_apt "$work" bookworm amd64,arm64
image=$(apt-cache "${apt[@]}" show linux-image-arm64:arm64 | grep -o 'linux-image-6[^ ,]*-arm64' | tail -n 1)
version=${image#linux-image-}
series=$(cut -d. -f1,2 <<< "$version")
(cd "$work/debs" && apt-get "${apt[@]}" download "$image:arm64" "linux-headers-$version:arm64" \
  "linux-headers-${version%-arm64}-common" "linux-kbuild-$series:amd64" "linux-source-$series") >> "$work/apt.log" 2>&1 ||
  die "cannot fetch the kernel; see $work/apt.log"

rm -rf "$work/image" "$work/build"
mkdir -p "$work/image" "$work/build"
dpkg-deb -x "$work/debs/$image"_*.deb "$work/image"
for deb in "$work"/debs/linux-{headers,kbuild,source}*.deb; do
  dpkg-deb -x "$deb" "$work/build"
done
headers=$work/build/usr/src/linux-headers-$version
# Debian's headers name each other by absolute paths.
sed -i "s#^include /usr/src#include $work/build/usr/src#" "$headers/Makefile"
for link in "$work"/build/usr/src/linux-headers-*/{scripts,tools}; do
  [[ -L $link ]] && ln -sfn "$work/build/usr/lib/linux-kbuild-$series/$(basename "$link")" "$link"
done

module=$work/build/gpio-sim
mkdir -p "$module"
source=linux-source-$series
tar -xJf "$work/build/usr/src/$source.tar.xz" -C "$work/build" \
  "$source"/drivers/gpio/{gpio-sim.c,gpiolib.h} "$source/kernel/irq/irq_sim.c"
cp "$work/build/$source/drivers/gpio/gpio-sim.c" "$module/chip.c"
cp "$work/build/$source/drivers/gpio/gpiolib.h" "$module"
# The simulated interrupts are not in Debian's kernel either, so they are linked into the module; and there
# a handler is called by the function that modules may call, which does the same by the same number.
sed 's/handle_simple_irq(irq_to_desc(\(.*\)));/generic_handle_irq(\1);/; /^EXPORT_SYMBOL/d' \
  "$work/build/$source/kernel/irq/irq_sim.c" > "$module/irq_sim.c"
printf 'obj-m := gpio-sim.o\ngpio-sim-y := chip.o irq_sim.o\n' > "$module/Kbuild"
make -C "$headers" M="$module" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \
  DEB_HOST_ARCH=arm64 DEB_BUILD_ARCH=amd64 DEB_HOST_GNU_TYPE=aarch64-linux-gnu modules > "$work/make.log" 2>&1 ||
  die "gpio-sim does not build; see $work/make.log"
install -D -m 644 -t "$work/image/lib/modules/$version/extra" "$module/gpio-sim.ko"
depmod -b "$work/image" "$version"
echo "$version" > "$work/version"
echo "kernel $version with gpio-sim in $work/image"

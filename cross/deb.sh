#!/usr/bin/env bash
# Packs what cross/build.sh built for a target as a Debian package, and lets lintian look at it:
#   cross/deb.sh aarch64-unknown-linux-gnu|armv7-unknown-linux-gnueabihf
# The last line says where the package is.
cd "$(dirname "$0")/.."
. cross/targets.sh
use_target "${1:?which target? aarch64-unknown-linux-gnu or armv7-unknown-linux-gnueabihf}"
binary=$(stripped)
[[ -x $binary ]] || die "$binary is not there; run cross/build.sh $target first"
need qemu-user "libc6-$arch-cross" binutils xz-utils lintian git

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
glibc=$(newest_glibc_of "$binary")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
put() { install -D -m "$1" "$2" "$root/$3"; }
# The man page and the completions come out of the binary itself.
say() { emulate "$binary" "$@"; }
text() {
  mkdir -p "$root/$(dirname "$1")"
  cat > "$root/$1"
}

put 755 "$binary" usr/bin/facelatch
put 644 facelatch.example.toml etc/facelatch/facelatch.toml
put 644 systemd/facelatch.service usr/lib/systemd/system/facelatch.service
put 644 systemd/facelatch.sysusers usr/lib/sysusers.d/facelatch.conf
put 644 systemd/facelatch.tmpfiles usr/lib/tmpfiles.d/facelatch.conf
put 644 systemd/60-facelatch.rules usr/lib/udev/rules.d/60-facelatch.rules
for file in models/*.onnx models/*.known.json $(git ls-files demo); do
  put 644 "$file" "usr/share/facelatch/$file"
done
# As they lie here, so that their links lead somewhere.
for file in README.md $(git ls-files docs 'models/*.md'); do
  put 644 "$file" "usr/share/doc/facelatch/$file"
done
put 644 packaging/copyright usr/share/doc/facelatch/copyright
say man | gzip -9n | text usr/share/man/man1/facelatch.1.gz
say completions bash | text usr/share/bash-completion/completions/facelatch
say completions zsh | text usr/share/zsh/vendor-completions/_facelatch
say completions fish | text usr/share/fish/vendor_completions.d/facelatch.fish
{
  printf 'facelatch (%s) stable; urgency=medium\n\n  * %s\n\n' "$version" "As of $(git rev-parse --short HEAD)."
  printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' packaging/control)" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n | text usr/share/doc/facelatch/changelog.gz

size=$(du -sk --apparent-size "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/; s/@GLIBC@/$glibc/" packaging/control | text DEBIAN/control
echo /etc/facelatch/facelatch.toml | text DEBIAN/conffiles
for script in postinst prerm postrm; do
  put 755 "packaging/$script" "DEBIAN/$script"
done
(cd "$root" && find usr -type f -printf '%P\0' | sort -z | sed -z 's#^#usr/#' | xargs -0 md5sum) | text DEBIAN/md5sums
chmod -R u=rwX,go=rX "$root"

package=$(built)/facelatch_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" > /dev/null
lintian --fail-on error --display-level '>=warning' "$package" >&2 || die "lintian finds errors in $package"
echo "$package: $(stat -c %s "$package") bytes"

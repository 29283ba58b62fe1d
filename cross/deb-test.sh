#!/usr/bin/env bash
# Installs, tries and purges a package in an emulated Debian of its architecture:
#   cross/deb-test.sh PACKAGE.deb [FOLDER]
# FOLDER (default: vm beside the package) keeps Debian for the next time.
here=$(dirname "$(realpath "$0")")
. "$here/targets.sh"
package=$(realpath "${1:?which package? cross/deb.sh makes it}")
work=$(realpath -m "${2:-$(dirname "$package")/vm}")
[[ $(id -u) == 0 ]] || die "a Debian is made by root; run this with sudo"
arch=$(dpkg-deb -f "$package" Architecture)
debian=$work/debian
[[ $arch == arm64 ]] || debian=$work/debian-$arch
mkdir -p "$work"
"$here/root.sh" "$arch" "$debian"

root=$work/deb-test
discard "$root"
cp -a "$debian" "$root"
cp "$package" "$root/tmp/facelatch.deb"
inside() { chroot "$root" "$@"; }
ok() { echo "ok    $*"; }
# Everything there is, but for the accounts, which stay, and what dpkg keeps for itself.
inventory() {
  (cd "$root" && find . \( -path ./var/lib/dpkg -o -path ./run \) -prune -o -printf '%p %y %m %U\n') |
    grep -vE '^\./(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/\.pwd\.lock|var/log/dpkg\.log|var/cache/ldconfig/aux-cache) |^\./(etc|tmp|var/log) ' | sort
}

before=$(inventory)
inside dpkg -i /tmp/facelatch.deb > "$work/deb-test.log" 2>&1 || die "it does not install; see $work/deb-test.log"
ok "installed: $(inside dpkg-query -W facelatch)"
inside facelatch --version > /dev/null || die "the binary does not run"
inside facelatch check-config > /dev/null 2>&1 || die "the configuration that ships is refused"
ok "it runs, and takes its own configuration"
[[ $(inside id -nG facelatch | tr ' ' '\n' | sort | paste -sd ' ') == "facelatch gpio video" ]] || die "the user is in other groups: $(inside id facelatch)"
[[ $(inside stat -c '%U:%G:%a' /var/lib/facelatch) == facelatch:facelatch:700 ]] || die "the state folder is somebody else's"
ok "its user and state folder are there"
inside env SYSTEMD_OFFLINE=1 systemctl is-enabled facelatch > /dev/null && die "it starts by itself, with a configuration that nobody has read"
inside systemd-analyze verify --man=no facelatch.service >&2 || die "systemd refuses the unit"
inside systemd-analyze security --offline=true --threshold=10 --no-pager /usr/lib/systemd/system/facelatch.service > /dev/null || die "the unit is too open"
ok "the unit is good, shut in, and left off until somebody turns it on"
inside bash -n /usr/share/bash-completion/completions/facelatch || die "the completions are no bash"
inside env SYSTEMD_OFFLINE=1 systemctl -q enable facelatch || die "it cannot be enabled"
echo "# mine" >> "$root/etc/facelatch/facelatch.toml"
inside facelatch enroll Alex --from /usr/share/facelatch/demo/enrol/Alex > /dev/null 2>&1 || die "root cannot enrol"
[[ $(inside stat -c '%U:%a' /var/lib/facelatch/gallery.key) == facelatch:600 ]] || die "the key is not the daemon's"
ok "somebody is enrolled"
inside dpkg -i /tmp/facelatch.deb >> "$work/deb-test.log" 2>&1 || die "it does not install again; see $work/deb-test.log"
grep -q '^# mine' "$root/etc/facelatch/facelatch.toml" || die "an upgrade takes the configuration away"
inside facelatch identify /usr/share/facelatch/demo/enrol/Alex/3.jpg 2> /dev/null | grep -q Alex || die "an upgrade takes the household away"
ok "an upgrade keeps configuration and household"
inside dpkg --remove facelatch >> "$work/deb-test.log" 2>&1 || die "it cannot be removed; see $work/deb-test.log"
[[ -e $root/var/lib/facelatch/gallery.redb && -e $root/etc/facelatch/facelatch.toml ]] || die "removing takes more than the program away"
ok "removed: configuration and household stay"
inside dpkg --purge facelatch >> "$work/deb-test.log" 2>&1 || die "it cannot be purged; see $work/deb-test.log"
left=$(diff <(echo "$before") <(inventory) || true)
[[ -z $left ]] || die "purging leaves a trace: $left"
ok "purged: nothing is left but the user, whose number is not to be reused"
discard "$root"

#!/bin/bash
# Runs inside the guest once it is up: the packaged daemon against the kernel's own camera and GPIO
# simulators. Prints PASS or FAIL for each thing that must hold, and DONE at the end.
#   guest-test [GROUP…]    everyday, and those of faults.sh
set -u
# shellcheck source=cross/vm/faults.sh
. /usr/local/lib/guest-faults

config=/etc/facelatch/facelatch.toml
state=/var/lib/facelatch
tracing=/sys/kernel/tracing
exec {pause}<> <(:)
failures=0

nap() { read -r -t "$1" -u "$pause" || true; }
# Microseconds since boot, to 10 ms: the time of day is what one of the tests changes.
now() {
  local up
  read -r up _ < /proc/uptime
  echo "${up/./}0000"
}
uptime_s() { cut -d' ' -f1 /proc/uptime; }

fail() {
  echo "FAIL $*"
  failures=$((failures + 1))
}

# check WHAT COMMAND…: the command's output is shown beside the verdict.
check() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "PASS $what${output:+ ($(tail -n 1 <<< "$output"))}"
  else
    fail "$what: $output"
  fi
}

# within SECONDS COMMAND…: waits until it succeeds. What takes long is looked at seldom: an emulated core asks the
# journal for a fifth of a second.
within() {
  local until=$(($(now) + $1 * 1000000)) wait=5
  shift
  until "$@" > /dev/null 2>&1; do
    (($(now) < until)) || return 1
    nap "0.$(printf %02d "$wait")"
    wait=$((wait < 50 ? wait + 5 : 50))
  done
}

# What was logged since `mark`. By the number of lines, as the time of day may step.
journal() { journalctl -q -u facelatch -o cat --no-pager; }
mark() {
  nap 0.3
  marked=$(journal | wc -l)
}
said() { journal | tail -n "+$((marked + 1))"; }
logged() { said | grep -q -- "$1"; }
property() { systemctl show -P "$1" facelatch; }
strike_is() { [[ $(< "$strike") == "$1" ]]; }
press() { echo "$2" > "${lines}$1/pull"; }
exit_button() {
  press 22 pull-down
  nap 0.3
  press 22 pull-up
}

# The kernel itself writes down every level that a line is given, with its own clock; here only the strike
# is an output.
trace_strike() {
  mountpoint -q "$tracing" || mount -t tracefs tracefs "$tracing" || return
  echo "get == 0" > "$tracing/events/gpio/gpio_value/filter" &&
    echo 1 > "$tracing/events/gpio/gpio_value/enable"
}

forget() { echo > "$tracing/trace"; }

# The length in ms of the first pulse that is traced.
traced_pulse() {
  sed -n 's/^.* \([0-9]*\)\.\([0-9]*\): gpio_value: [0-9]* set \([01]\)$/\1\2 \3/p' "$tracing/trace" |
    awk '$2 == 1 && !up { up = $1 } $2 == 0 && up { print int(($1 - up) / 1000); exit }'
}

# pulse_is LEAST MOST: waits for the end of the first pulse since `forget`, and holds it to a length in ms.
pulse_is() {
  local length
  within 25 eval '[[ $(traced_pulse) ]]' || { echo "no pulse: $(grep gpio_value "$tracing/trace")"; return 1; }
  length=$(traced_pulse)
  echo "$length ms"
  (($1 <= length && length <= $2)) && strike_is 0
}

set_up_lines() {
  modprobe gpio-sim && modprobe vivid n_devs=1 node_types=0x1 || return
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
  local sim=/sys/kernel/config/gpio-sim/door
  mkdir -p "$sim/bank0" && echo 28 > "$sim/bank0/num_lines" && echo 1 > "$sim/live" || return
  chip=$(< "$sim/bank0/chip_name")
  lines=/sys/devices/platform/$(< "$sim/dev_name")/$chip/sim_gpio
  strike=${lines}17/value
  udevadm settle
}

# configure CAMERA: the shipped example with the simulators in it, and fewer frames, each of which an emulated
# core takes a second for.
configure() {
  sed -e "s#/dev/gpiochip0#/dev/$chip#; s/^# \(contact\|exit_button\|tamper\) =/\1 =/" \
    -e "s#^source = .*#source = \"$1\"#" \
    -e 's/^fps = .*/fps = 2/' \
    /usr/share/facelatch/facelatch.example.toml > "$config"
}

# Door and case closed, nothing pressed. gpio-sim takes the daemon's own pull-up for the line's level, as if no
# switch were there, so this comes after each start.
shut() {
  press 27 pull-down && press 23 pull-down && press 22 pull-up && nap 0.5
}

device_groups() {
  local found
  found=$(stat -c %G:%a "/dev/$chip" /dev/video0 | paste -sd ' ')
  echo "$found"
  [[ $found == "gpio:660 video:660" ]]
}

owners() {
  local found
  found=$(stat -c %U:%a "$state"/gallery.{redb,key} | paste -sd ' ')
  echo "$found"
  [[ $found == "facelatch:600 facelatch:600" ]]
}

shut_in() {
  local status=/proc/$(property MainPID)/status
  grep -E '^(NoNewPrivs|Seccomp|CapEff):' "$status" | tr -s '\t\n' ' '
  grep -q '^NoNewPrivs:.*1' "$status" && grep -q '^Seccomp:.*2' "$status" && grep -q '^CapEff:.*0000000000000000' "$status"
}

opens_only() {
  local files
  files=$(find "/proc/$(property MainPID)/fd" -lname '/dev/*' -printf '%l\n' | sort -u | paste -sd ' ')
  echo "$files"
  ! grep -qvE '^/dev/(null|video0|gpiochip[0-9]+)$' <<< "${files// /$'\n'}"
}

# Kills the daemon in mid-pulse; the line must be inactive within a second, and the service come back.
killed_by() {
  mark
  local start restarts died
  restarts=$(property NRestarts)
  facelatch unlock --reason "a test of SIG$1" > /dev/null || return
  within 5 strike_is 1 || { echo "not released"; return 1; }
  start=$(now)
  systemctl kill -s "$1" facelatch
  # Rust's handler lets the first SIGSEGV that no address of its own caused pass.
  [[ $1 != SEGV ]] || systemctl kill -s "$1" facelatch
  within 10 strike_is 0 || { echo "the strike stays released"; return 1; }
  died=$((($(now) - start) / 1000))
  echo "inactive after $died ms"
  within 50 logged "is locked" || { echo "ExecStopPost did not lock"; return 1; }
  within 120 eval '[[ $(property NRestarts) -gt '"$restarts"' && $(property ActiveState) == active ]]' ||
    { echo "the service did not come back"; return 1; }
  echo "inactive after $died ms, back"
  ((died < 1000))
}

# Stops every thread of the daemon in mid-pulse, its strike's guard too: the watchdog must notice, lock and restart.
hangs() {
  local start restarts locked
  restarts=$(property NRestarts)
  mark
  facelatch unlock --reason "a test of the watchdog" > /dev/null || return
  within 5 strike_is 1 || { echo "not released"; return 1; }
  start=$(now)
  systemctl kill -s STOP facelatch
  within 60 strike_is 0 || { echo "the strike stays released"; return 1; }
  locked=$((($(now) - start) / 1000))
  within 50 logged "Watchdog timeout" || { echo "it was not the watchdog"; return 1; }
  within 50 logged "is locked" || { echo "ExecStopPost did not lock"; return 1; }
  within 120 eval '[[ $(property NRestarts) -gt '"$restarts"' && $(property ActiveState) == active ]]' ||
    { echo "the service did not come back"; return 1; }
  echo "inactive after $locked ms, back"
}

camera_comes_back() {
  local restarts device=/sys/bus/platform/drivers/vivid
  restarts=$(property NRestarts)
  mark
  echo vivid.0 > "$device/unbind" || return
  within 30 logged "no camera" || { echo "the loss is not told"; return 1; }
  # Longer than the watchdog waits: a missing camera is no hang.
  nap 35
  [[ $(property NRestarts) == "$restarts" ]] || { echo "restarted"; return 1; }
  exit_button
  within 5 strike_is 1 || { echo "the exit button does not work without a camera"; return 1; }
  mark
  echo vivid.0 > "$device/bind" || return
  within 60 logged "the camera is there" || { echo "its return is not seen"; return 1; }
  within 20 strike_is 0
}

# As docs/board.md says: the gallery's key sealed for this machine, before anybody is enrolled.
sealed_key() {
  rm -f "$state"/gallery.*
  install -d -m 700 /etc/credstore.encrypted
  head -c 32 /dev/urandom | systemd-creds encrypt --name=facelatch.key - /etc/credstore.encrypted/facelatch.key &&
    started && [[ -e $state/gallery.redb && ! -e $state/gallery.key ]] &&
    systemd-run --quiet --pipe --wait -p User=facelatch -p LoadCredentialEncrypted=facelatch.key facelatch people
}

started() {
  local start
  start=$(now)
  systemctl start facelatch || { journalctl -q -u facelatch -o cat | tail -n 20; return 1; }
  echo "ready after $((($(now) - start) / 1000)) ms"
  shut
}

everyday() {
  check "udev gives camera and GPIO to their groups" device_groups
  configure "v4l:/dev/video0"
  check "the example configuration is good" facelatch check-config
  check "root enrols before the daemon ever ran" facelatch enroll Alex --from /usr/share/facelatch/demo/enrol/Alex
  check "what root enrolled belongs to the daemon" owners
  check "doctor finds nothing wrong" facelatch doctor
  check "the daemon reaches READY on vivid's frames" started
  check "it is shut in" shut_in
  check "of all devices it holds camera and GPIO open" opens_only
  check "systemd finds little exposed" systemd-analyze security --no-pager --threshold=10 facelatch
  check "the strike is locked" strike_is 0

  # A pulse counts from the moment before the line is driven: what comes between may be missing, and none be added
  # but what the deciding thread takes to wake.
  forget
  check "a command is obeyed" facelatch unlock --reason "a test"
  check "the line is active for the pulse of 3 s" pulse_is 2500 3010

  forget
  exit_button
  check "the exit button releases it for as long" pulse_is 2500 3010

  forget
  facelatch unlock --reason "a test" > /dev/null &
  within 10 strike_is 1; press 27 pull-up
  check "it locks a second after the door opened" pulse_is 1000 1500
  press 27 pull-down; nap 3
  mark
  press 27 pull-up
  check "a door forced open raises the alarm" within 10 logged "ALARM: door forced open"
  press 27 pull-down

  for signal in KILL SEGV ABRT; do
    check "killed by SIG$signal in mid-pulse" killed_by "$signal"
  done
  check "it hangs in mid-pulse, and the watchdog ends that" hangs
  check "the camera leaves its driver and comes back" camera_comes_back

  systemctl stop facelatch
  check "stopped, the line is inactive" strike_is 0
  configure "dir:/usr/share/facelatch/demo/evening@4"
  forget
  mark
  check "the daemon watches the recorded evening" started
  check "the resident is let in" within 30 logged "granted by face (most like Alex)"
  check "and the line is active for 3 s" pulse_is 2500 3010
  check "the audit log is whole" facelatch log --verify
  systemctl stop facelatch
  configure "v4l:/dev/video0"
  check "the gallery's key can be sealed for the machine" sealed_key
  systemctl stop facelatch
}

echo "BOOTED after $(uptime_s) s: $(uname -rm), systemd $(systemctl --version | head -n 1 | cut -d' ' -f2)"
marked=0
set_up_lines || { echo "FAIL the simulators are not there"; systemctl --force --no-block poweroff; exit 1; }
trace_strike || echo "FAIL the kernel traces no GPIO"
for group in ${*:-$everything}; do
  "$group"
done

((failures == 0)) || journalctl -q -u facelatch -o short-monotonic | tail -n 80
echo "DONE after $(uptime_s) s, $failures failed"
systemctl --force --no-block poweroff

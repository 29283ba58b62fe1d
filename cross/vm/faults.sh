# Sourced by guest.sh: what is done with a door and what goes wrong around it, group by group. Each group begins with a
# household of its own, so that it can be run alone.
# shellcheck shell=bash disable=SC2154,SC2034,SC2016

everything="everyday deploy formats camera_errors clock reload chip models full_disk read_only_disk"
evening="dir:/usr/share/facelatch/demo/evening@4"

# fresh: a new household of one, nothing sealed, the camera as its source; not started.
fresh() {
  systemctl stop facelatch
  systemctl reset-failed facelatch 2> /dev/null
  mountpoint -q "$state" && umount "$state"
  rm -rf /etc/credstore.encrypted/facelatch.key "${state:?}"/*
  configure "v4l:/dev/video0"
  facelatch enroll Alex --from /usr/share/facelatch/demo/enrol/Alex > /dev/null 2>&1 ||
    fail "nobody can be enrolled"
}

# now_with SOURCE [SED…]: started anew with another camera, and with what sed makes of the configuration.
now_with() {
  systemctl stop facelatch
  configure "$1"
  shift
  (($# == 0)) || sed -i "$@" "$config"
  mark
  started
}

exit_works() {
  forget
  exit_button
  pulse_is 2500 3010 || { echo "the exit button does not work"; return 1; }
}

never_released() {
  ! grep -q 'gpio_value: [0-9]* set 1' "$tracing/trace" || { echo "the strike was released"; return 1; }
}

# same_daemon PID: it was neither restarted nor is it down.
same_daemon() {
  [[ $(property MainPID) == "$1" && $(property ActiveState) == active ]] || { echo "restarted"; return 1; }
}

# The commands of docs/deploy.md, each as it stands there, in the order in which they stand there. What they need is
# made here: the household's pictures, and strangers, who are the second person of the demo once more.

deploy() {
  local line number=0 in_block='' document=/usr/share/doc/facelatch/docs/deploy.md at=/srv/deploy demo=/usr/share/facelatch/demo/enrol
  fresh
  facelatch people remove Alex > /dev/null
  mkdir -p "$at"/{photos,strangers,robin} && cd "$at" || return
  cp "$demo"/Alex/*.jpg photos && cp "$demo"/Ben/[012].jpg robin && cp "$demo"/Ben/[34].jpg strangers
  facelatch enroll Robin --from robin > /dev/null 2>&1
  while IFS= read -r -u 9 line; do
    case $line in
      '```sh') in_block=1 ;;
      '```') in_block='' ;;
      '## In service') check "deploy: the service starts" started ;;
      *) [[ -z $in_block || $line == \#* ]] || { check "deploy: ${line%%  *}" as_written "$line"; number=$((number + 1)); } ;;
    esac
  done 9< "$document"
  check "deploy: there were commands" [ "$number" -ge 15 ]
  cd / || return
  facelatch lockdown off > /dev/null
  systemctl stop facelatch
}

as_written() {
  local line=$1 anchor
  case $line in
    *"enroll Alex --camera"*)
      # Nobody stands before vivid; what comes after wants somebody who is enrolled.
      ! bash -c "$line" < /dev/null || { echo "it enrolled a test pattern"; return 1; }
      facelatch enroll Alex --from /usr/share/facelatch/demo/enrol/Alex
      return
      ;;
    *1234:ab12*)
      anchor=$(journal | grep -o 'audit log at [0-9]*:[0-9a-f]*' | tail -n 1 | cut -d' ' -f4)
      line=${line/1234:ab12…/$anchor}
      ;;
  esac
  # Who is root here has no sudo.
  bash -c "sudo() { \"\$@\"; }; $line"
}

# Each pixel format that is read: taken from a camera that gives it, and told where it does not.

formats() {
  local read given format
  fresh
  sed -i 's/^# format = .*/format = "none"/' "$config"
  read=$(facelatch check-config 2>&1 | sed -n 's/.*there are \([A-Z0-9, ]*\).*/\1/p' | tr -d ,)
  given=$(v4l2-ctl -d /dev/video0 --list-formats | sed -n "s/.*'\(....\)'.*/\1/p" | paste -sd ' ')
  check "there are formats to try" [ -n "$read" -a -n "$given" ]
  for format in $read; do
    if [[ " $given " == *" $format "* ]]; then
      check "frames come as $format" comes_as "$format"
    else
      check "$format, which vivid does not give, is told, and the exit button works" does_not_come_as "$format"
    fi
  done
}

comes_as() {
  local set
  now_with "v4l:/dev/video0" "s/^# format = .*/format = \"$1\"/" || return
  set=$(v4l2-ctl -d /dev/video0 --get-fmt-video | sed -n "s/.*Pixel Format *: '\(....\)'.*/\1/p")
  # READY comes without a camera too.
  logged "watching the door" || { echo "no frame: $(said | tail -n 3)"; return 1; }
  [[ $set == "$1" ]] || { echo "the driver has $set set"; return 1; }
}

does_not_come_as() {
  now_with "v4l:/dev/video0" "s/^# format = .*/format = \"$1\"/" || return
  said | grep -m 1 -- "camera.format asks for $1" || { echo "not told: $(said | tail -n 3)"; return 1; }
  exit_works
}

# What a driver can do wrong: vivid does it when asked.

camera_errors() {
  fresh
  now_with "v4l:/dev/video0" > /dev/null || { fail "it does not start"; return; }
  check "a frame that the driver calls broken is passed over" passes_over
  check "a buffer cannot be queued: the camera is opened again" comes_back inject_vidioc_qbuf_error
  check "a fatal error of the stream: opened again" comes_back inject_fatal_streaming_error
  check "… and no buffers at the first try" \
    comes_back inject_vidioc_reqbufs_error inject_fatal_streaming_error
  check "… and the stream does not start at the first try" \
    comes_back inject_vidioc_streamon_error inject_fatal_streaming_error
  check "every frame is dropped for a while" drops_all
  check "disconnected while it streams" comes_back disconnect
}

inject() { v4l2-ctl -d /dev/video0 -c "$1=${2:-1}" || { echo "vivid has no $1"; return 1; }; }

passes_over() {
  local pid i
  pid=$(property MainPID)
  mark
  for i in 1 2 3; do
    inject inject_v4l2_buf_flag_error || return
    nap 0.7
  done
  ! logged "no camera" || { said | tail -n 3; return 1; }
  same_daemon "$pid"
}

comes_back() {
  local pid control
  pid=$(property MainPID)
  mark
  forget
  for control; do
    inject "$control" || return
  done
  within 30 logged "no camera" || { echo "the loss is not told"; return 1; }
  within 60 logged "the camera is there" || { echo "it does not come back: $(said | tail -n 3)"; return 1; }
  never_released && same_daemon "$pid" || return
  said | grep -o 'no camera.*' | head -n 1
}

drops_all() {
  local pid
  pid=$(property MainPID)
  mark
  inject percentage_of_dropped_buffers 100 || return
  within 30 logged "no camera" || { echo "the loss is not told"; return 1; }
  nap 35
  inject percentage_of_dropped_buffers 0 || return
  within 60 logged "the camera is there" || { echo "it does not come back: $(said | tail -n 3)"; return 1; }
  same_daemon "$pid" || return
  said | grep -o 'no camera.*' | head -n 1
}

# The time of day steps; with it set by the network, as far as the daemon can see.

clock() {
  fresh
  mkdir -p /run/systemd/timesync && touch /run/systemd/timesync/synchronized
  now_with "v4l:/dev/video0" > /dev/null || { fail "it does not start"; return; }
  check "the clock steps back by a day" steps "1 day ago"
  check "the clock steps forward by a year" steps "1 year"
}

steps() {
  local pid
  pid=$(property MainPID)
  date -s "$1" > /dev/null || return
  exit_works || return
  # Longer than the watchdog waits.
  nap 40
  same_daemon "$pid" || return
  facelatch log --json | grep -q "$(date -u +%F)T" || { echo "no record has the new day"; return 1; }
  facelatch log --verify
}

# A configuration that is wrong when it is read again.

reload() {
  fresh
  now_with "v4l:/dev/video0" > /dev/null || { fail "it does not start"; return; }
  check "a value out of range, read again, changes nothing" keeps_old 's/^pulse = .*/pulse = "2m"/' "door.pulse is 120s"
  check "a file that is no TOML, read again, changes nothing" keeps_old 's/^\[door\]/[door/' "the configuration stays"
  check "mended, it is read again" reads_again
}

keeps_old() {
  local pid
  pid=$(property MainPID)
  sed -i "$1" "$config"
  mark
  systemctl reload facelatch || return
  within 10 logged "the configuration stays as it was" || { echo "not told: $(said | tail -n 3)"; return 1; }
  logged "$2" || { echo "the reason is not told: $(said | tail -n 3)"; return 1; }
  configure "v4l:/dev/video0"
  same_daemon "$pid" && exit_works
}

reads_again() {
  mark
  systemctl reload facelatch && within 10 logged "the configuration was read again"
}

# The strike's chip is not there when the daemon starts.

chip() {
  fresh
  check "no GPIO chip: told, and tried again until it is there" chip_comes_late
}

chip_comes_late() {
  local sim=/sys/kernel/config/gpio-sim/door
  mark
  echo 0 > "$sim/live" || return
  systemctl start --no-block facelatch
  within 60 logged "/dev/$chip: no such GPIO chip" || { echo "not told: $(said | tail -n 3)"; return 1; }
  within 60 eval '[[ $(property NRestarts) -ge 3 ]]' || { echo "it is not tried again"; return 1; }
  echo 1 > "$sim/live" || return
  [[ $(< "$sim/bank0/chip_name") == "$chip" ]] || { echo "it came back by another name"; return 1; }
  within 60 eval '[[ $(property ActiveState) == active ]]' || { echo "it does not start: $(said | tail -n 3)"; return 1; }
  said | grep -o '/dev/gpiochip.*no such.*' | head -n 1
  shut
  exit_works
}

# Networks that are not what they were.

models() {
  local at=/srv/models
  fresh
  mkdir -p "$at"
  check "the embedding's file is cut short" refuses embedding "not a network that can run here" 'head -c 1000000'
  check "the detector's file is cut short" refuses detector "not a network that can run here" 'head -c 100000'
  check "one bit of the embedding is another" refuses embedding "its weights hash to" 'flip 2000000'
  check "one bit of the detector is another" refuses detector "its weights hash to" 'flip 100000'
  check "the detector stands in the embedding's place" refuses embedding "$at/embedding" 'instead detector'
  check "the embedding stands in the detector's place" refuses detector "$at/detector" 'instead embedding'
}

# flip OFFSET: the topmost bit of that byte.
flip() {
  local byte
  cat > /srv/flipped
  byte=$(od -An -tu1 -j "$1" -N 1 /srv/flipped)
  printf "\\x$(printf %x $((byte ^ 128)))" | dd of=/srv/flipped bs=1 seek="$1" conv=notrunc status=none
  cat /srv/flipped
}

instead() { cat > /dev/null; cat "/usr/share/facelatch/models/$1-int8.onnx"; }

# refuses NETWORK WORDS CHANGE: a changed file is refused with those words and its path, and no face opens while
# the exit button does; when the good one is put in its place, the same daemon looks after the door again.
refuses() {
  local pid good=/usr/share/facelatch/models/$1-int8.onnx here=/srv/models/$1-int8.onnx
  cp /usr/share/facelatch/models/*.known.json /srv/models/
  $3 < "$good" > "$here"
  now_with "v4l:/dev/video0" "s#^$1 = .*#$1 = \"$here\"#" || return
  pid=$(property MainPID)
  logged "$2" || { echo "not told: $(said | tail -n 3)"; return 1; }
  logged "$here" || { echo "the file is not named: $(said | tail -n 3)"; return 1; }
  exit_works || return
  ! logged "watching the door" || { echo "it watches"; return 1; }
  cp "$good" "$here"
  within 60 logged "watching the door" || { echo "it does not come back: $(said | tail -n 3)"; return 1; }
  same_daemon "$pid" || return
  said | grep -F -m 1 "$2"
}

# The state folder on a disk of its own, with blocks so small that a record hardly fits into what is left.

small_disk() {
  local image=/srv/state.img
  modprobe loop || return
  rm -f "$image"
  truncate -s 24M "$image"
  mke2fs -q -t ext4 -m 0 -b 1024 "$image" || return
  mount -o loop "$image" /mnt && rmdir /mnt/lost+found && cp -a "$state"/. /mnt/ || return
  chown facelatch:facelatch /mnt && chmod 700 /mnt && umount /mnt &&
    mount -o loop,errors=remount-ro "$image" "$state"
}

# Fills it, and what is left of the log's last block.
fill() {
  local i
  dd if=/dev/zero of="$state/filler" bs=1k status=none 2> /dev/null
  sync "$state"
  for i in {1..30}; do
    facelatch lockdown off > /dev/null || return
    ! facelatch status | grep -q 'recorded *no' || return 0
  done
  echo "it can be recorded after all: $(df -k "$state" | tail -n 1)"
  return 1
}

opens_unrecorded() {
  facelatch unlock --reason "a test" | grep "could not be recorded" || { echo "not told"; return 1; }
  within 5 strike_is 1 && within 10 strike_is 0
}

turned_away() {
  within 30 logged "\(Alex was recognised and not let in: it\|denied, could not be recorded, by face (most like Alex)\|(most like Alex).*could not\)" ||
    { echo "nobody was recognised: $(said | tail -n 5)"; return 1; }
  said | grep -m 1 "not let in\|could not be recorded"
  never_released
}

full_disk() {
  fresh
  small_disk || { fail "no small disk"; return; }
  now_with "v4l:/dev/video0" > /dev/null
  check "the disk is full, which is told" fill
  check "full: a command opens, and says that it could not be recorded" opens_unrecorded
  check "full: the exit button works" exit_works
  check "there is room again, which the running daemon sees" room_again
  fill > /dev/null
  forget
  check "full: the daemon starts" now_with "$evening"
  check "full: a resident is not let in" turned_away
  check "full: the exit button works all the same" exit_works
  rm "$state/filler"
  mark
  check "there is room: the resident is let in" within 60 logged "granted by face (most like Alex)"
  check "the audit log is whole after all that" facelatch log --verify
  systemctl stop facelatch
  umount "$state"
}

room_again() {
  local pid
  pid=$(property MainPID)
  mark
  rm "$state/filler"
  within 40 logged "the audit log can be written again" || { echo "not seen: $(said | tail -n 3)"; return 1; }
  same_daemon "$pid" && facelatch log --verify
}

# A disk that fails, and that the kernel therefore lets nobody write to any more.

read_only_disk() {
  fresh
  small_disk || { fail "no small disk"; return; }
  forget
  check "the daemon watches the recorded evening" now_with "$evening"
  check "its disk becomes read-only" breaks
  check "read-only: a resident is not let in" turned_away
  check "read-only: a command opens, and says that it could not be recorded" opens_unrecorded
  check "read-only: the exit button works" exit_works
  forget
  # The recording ends, and the daemon with it.
  check "read-only: started again, it says why it cannot" within 60 logged "Read-only file system"
  check "read-only: and the door is locked" locked_for 5
  check "read-only: and the exit button works" exit_works
  check "mended, it starts" mended
  check "the audit log is whole after all that" facelatch log --verify
  systemctl stop facelatch
  umount "$state"
}

breaks() {
  echo 1 > "/sys/fs/ext4/$(basename "$(findmnt -no SOURCE "$state")")/trigger_fs_error"
  ! touch "$state/anything" 2> /dev/null
}

locked_for() {
  nap "$1"
  strike_is 0 && never_released
}

mended() {
  local fixed=0
  systemctl stop facelatch
  umount "$state" || return
  e2fsck -fy /srv/state.img > /dev/null 2>&1 || fixed=$?
  ((fixed <= 1)) || { echo "e2fsck cannot mend it: $fixed"; return 1; }
  mount -o loop "/srv/state.img" "$state" && now_with "v4l:/dev/video0"
}

#!/usr/bin/env bash
# On the GPU machine, from the repository's root: trains the stages of a pack one after another, each
# from the best model of the one before, for as long as the call may take, and leaves the results in
# $OUT. The same command again goes on where the last one stopped, as long as the machine is held.
#   trainer/gpu/run.sh [--bring FOLDER] [--minutes 9] [--race] [--device cuda] [--set KEY=VALUE]... STAGE...
#   trainer/gpu/run.sh --bring FOLDER --try STAGE...    a minute of each on what this part of the pack has
#   trainer/gpu/run.sh --take FOLDER                    fetches a state back onto a fresh machine, and no more
# --bring keeps a part of the pack, for this call and those after it.
set -euo pipefail
SECONDS=0
minutes=9 race=no try=no device=cuda bring='' take='' stages=() sets=()
while [ $# -gt 0 ]; do
  case $1 in
    --minutes) minutes=$2; shift 2 ;;
    --race) race=yes; shift ;;
    --try) try=yes; shift ;;
    --device) device=$2; shift 2 ;;
    --bring) bring=$2; shift 2 ;;
    --take) take=$2; shift 2 ;;
    --set) sets+=(--set "$2"); shift 2 ;;
    -*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
    *) stages+=("$1"); shift ;;
  esac
done
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${OUT:?the folder whose files come back}
# What the first stage begins with, where neither its recipe nor --set names a start: the weights that ship.
start=$root/models/checkpoints/embedding.safetensors
# Outlives a call, not the machine.
kept=${FACELATCH_KEPT:-/tmp/facelatch}
mkdir -p "$kept/runs" "$kept/pack" "$out"

if [ -n "$bring" ]; then cp -r "$bring/." "$kept/pack"; fi
if [ -n "$take" ]; then
  python3 "$here/parts.py" join "$take" "$kept/runs"
  exit
fi
[ ${#stages[@]} -gt 0 ] || { echo "name the stages: the .toml files of the pack" >&2; exit 64; }

# The binary was linked where no libtorch_cuda.so is, and nothing in it asks for that library. Loaded
# first, it registers itself as it would have. LD_LIBRARY_PATH goes before the binary's RUNPATH; the
# driver's folder stays on it.
python3 - "$kept/pack/facelatch-train.xz" "$kept/facelatch-train" <<'PY'
import lzma, os, shutil, sys
with lzma.open(sys.argv[1]) as packed, open(sys.argv[2] + ".new", "wb") as whole:
    shutil.copyfileobj(packed, whole)
os.chmod(sys.argv[2] + ".new", 0o755)
os.replace(sys.argv[2] + ".new", sys.argv[2])
PY
lib=${FACELATCH_TORCH_LIB:-$(python3 -c 'import importlib.util, os
print(os.path.join(os.path.dirname(importlib.util.find_spec("torch").origin), "lib"))')}
folders=$lib
for folder in "$lib"/../../nvidia/*/lib; do
  if [ -d "$folder" ]; then folders+=:$folder; fi
done
cat > "$kept/ft" <<SH
#!/bin/sh
LD_LIBRARY_PATH="$folders\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" LD_PRELOAD="$lib/libtorch_cuda.so" \
  exec "$kept/facelatch-train" "\$@"
SH
chmod +x "$kept/ft"
ft=$kept/ft

echo "doctor: $("$ft" doctor --json | tee "$kept/doctor.json")"
if [ "$device" = cuda ] && ! grep -q '"cuda":true' "$kept/doctor.json"; then
  echo "no GPU in sight, so nothing is trained. cuda_linked says whether $lib/libtorch_cuda.so was" >&2
  echo "loaded; if it was, the driver is what is missing:" >&2
  nvidia-smi -L >&2 || true
  ls -l "$lib/libtorch_cuda.so" >&2 || true
  exit 69
fi

collect() {
  # The last stage that has begun; all others send their curves alone.
  local last=''
  for stage in "${stages[@]}"; do
    if [ -e "$kept/runs/$stage/run.toml" ]; then last=$stage; fi
  done
  tail -c 4000000 "$kept/log.txt" > "$out/log.txt" 2>/dev/null || true
  [ -n "$last" ] || return 0
  for file in best.safetensors metrics.jsonl; do
    cp "$kept/runs/$last/$file" "$out/" 2>/dev/null || true
  done
  python3 "$here/parts.py" split "$kept/runs" "$last" "$out"
  echo "collected after $SECONDS s:"
  ls -l "$out"
}
trap collect EXIT

if [ $race = yes ]; then
  bf16=$([ "$device" = cuda ] && echo --bf16 || true)
  timeout 150 python3 "$root/trainer/benches/race.py" "$ft" --device "$device" $bf16 --batch 256 --steps 20 --rounds 3 \
    > "$out/race.json" || echo "the race with PyTorch failed or took too long"
  cat "$out/race.json"
fi

cd "$kept/pack"
shipped() { grep -q '^start *=' "$1.toml" || echo --set "start=$start"; }
if [ $try = yes ]; then
  # Each stage for 300 steps, from one start, on the pictures that are here by now.
  sources=$(for zip in faces/*.zip; do printf '{name="%s",path="%s"},' "$(basename "$zip" .zip)" "$zip"; done)
  for stage in "${stages[@]}"; do
    rm -rf "$kept/try"
    "$ft" train --config "$stage.toml" --out "$kept/try" --device "$device" \
      "$([ "$device" = cuda ] && echo --bf16 || echo --threads=2)" $(shipped "$stage") --set "data.sources=[$sources]" \
      --set steps=300 --set optimizer.warmup=100 --set checkpoint.log_every=100 "${sets[@]}" 2>&1 | tee -a "$kept/log.txt"
    cat "$kept/try/metrics.jsonl"
  done
  nvidia-smi || true
  exit
fi

# Left over at the end for the last checkpoint and for packing up.
reserve=35
previous=''
for stage in "${stages[@]}"; do
  run=$kept/runs/$stage
  if [ -e "$run/finished" ]; then previous=$run/best.safetensors; continue; fi
  left=$(awk "BEGIN {print int($minutes * 60 - $SECONDS - $reserve)}")
  [ "$left" -ge 40 ] || break
  # The last stage has what is left, each before it three fifths of that.
  [ "$stage" = "${stages[-1]}" ] || left=$((left * 3 / 5))
  with=(--device "$device" --fit --minutes "$(awk "BEGIN {print $left / 60}")")
  if [ "$device" = cuda ]; then with+=(--bf16); fi
  if [ -e "$run/run.toml" ]; then
    command=(resume "$run" "${with[@]}")
  else
    command=(train --config "$stage.toml" --out "$run" "${with[@]}" $(shipped "$stage") "${sets[@]}")
    if [ -n "$previous" ]; then command+=(--set "start=$previous"); fi
  fi
  echo "stage $stage: ${command[*]}" | tee -a "$kept/log.txt"
  "$ft" "${command[@]}" 2>&1 | tee -a "$kept/log.txt" "$kept/last.txt.new"
  mv "$kept/last.txt.new" "$kept/last.txt"
  grep -q '^finished after' "$kept/last.txt" || break
  touch "$run/finished"
  previous=$run/best.safetensors
done

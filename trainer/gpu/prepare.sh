#!/usr/bin/env bash
# Here, before the first call: puts the trainer and a pack of the data into .gpu/, which travels.
#   trainer/gpu/prepare.sh [--pack-option VALUE]... [RECIPE.toml]...
# Recipes default to the two stages of the long run; options go to `facelatch-train pack`.
set -euo pipefail
cd "$(dirname "$0")/../.."
options=() recipes=()
while [ $# -gt 0 ]; do
  case $1 in
    --*) options+=("$1" "$2"); shift 2 ;;
    *) recipes+=(--config "$1"); shift ;;
  esac
done
[ ${#recipes[@]} -gt 0 ] || recipes=(--config trainer/recipes/gpu-112.toml --config trainer/recipes/gpu-160.toml)
binary=${CARGO_TARGET_DIR:-target}/release/facelatch-train
[ -x "$binary" ] || { echo "no $binary; run: cargo build --release -p facelatch-train" >&2; exit 66; }

mkdir -p .gpu
rm -rf .gpu/pack
"$binary" pack "${recipes[@]}" --out .gpu/pack "${options[@]}"
strip -o .gpu/facelatch-train "$binary"
xz -9 --force .gpu/facelatch-train

# What the device tool sends: tracked files, untracked ones that git does not ignore, and .gpu.
bytes=$(git ls-files -z --cached --others --exclude-standard | xargs -0 du -cb | tail -1 | cut -f1)
total=$((bytes + $(du -sb .gpu | cut -f1)))
printf '%7.2f MB  the trainer\n%7.2f MB  the repository\n%7.2f MB  travel, of 67.1 (64 MiB)\n' \
  "$(du -sb .gpu/facelatch-train.xz | awk '{print $1 / 1e6}')" \
  "$(awk "BEGIN {print $bytes / 1e6}")" "$(awk "BEGIN {print $total / 1e6}")"
[ "$total" -lt 66500000 ] || { echo "too much to travel: pack with a smaller --quality" >&2; exit 65; }

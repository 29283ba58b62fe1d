#!/usr/bin/env bash
# Here, before the first call: makes a pack of the data, .gpu-pack/, and deals it and the trainer out to .gpu-first/ and
# .gpu/, which travel one after the other, for both together with the repository are more than a call takes. The first
# has the trainer and all but pictures, and of those what there is room for.
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
[ ${#recipes[@]} -gt 0 ] || recipes=(--config trainer/recipes/gpu-160.toml --config trainer/recipes/gpu-112.toml)
binary=${CARGO_TARGET_DIR:-target}/release/facelatch-train
[ -x "$binary" ] || { echo "no $binary; run: cargo build --release -p facelatch-train" >&2; exit 66; }

rm -rf .gpu .gpu-first .gpu-pack
"$binary" pack "${recipes[@]}" --out .gpu-pack "${options[@]}"
mkdir -p .gpu/faces
cp -al .gpu-pack .gpu-first
strip -o .gpu-first/facelatch-train "$binary"
xz -9 .gpu-first/facelatch-train

# What the device tool sends with each call: tracked files, untracked ones that git does not ignore, and the
# folder named. What is too much for the first call goes with the second.
limit=66000000
repository=$(git ls-files -z --cached --others --exclude-standard | xargs -0 du -cb | tail -1 | cut -f1)
first=$((repository + $(du -sb .gpu-first | cut -f1)))
second=$repository
while read -r bytes file; do
  if ((first > limit)); then
    mv "$file" .gpu/faces/
    first=$((first - bytes)) second=$((second + bytes))
  fi
done < <(du -b .gpu-first/faces/*.zip | sort -rn)
awk -v r="$repository" -v a="$first" -v b="$second" 'BEGIN {
  printf "%7.2f MB  the repository\n%7.2f MB  the first call, with .gpu-first\n%7.2f MB  the second, with .gpu; each may have 67.1 (64 MiB)\n", r / 1e6, a / 1e6, b / 1e6
}'
((first < limit && second < limit)) || { echo "too much to travel: pack with a smaller --quality" >&2; exit 65; }

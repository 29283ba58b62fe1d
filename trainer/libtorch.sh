#!/usr/bin/env bash
# Puts libtorch 2.11.0 where .cargo/config.toml expects it (trainer/.libtorch), from the PyPI wheel.
#   trainer/libtorch.sh cpu   the part a machine without a GPU needs: about 545 MB on disk (default)
#   trainer/libtorch.sh gpu   the whole wheel with its CUDA dependencies: about 5 GB on disk
# Safe to call again: it does nothing when that flavour is already in place.
set -euo pipefail
flavour=${1:-cpu}
torch=2.11.0 cuda=13.0
cd "$(dirname "$0")"
home=$PWD/.libtorch

if [ "$(cat "$home/flavour" 2>/dev/null)" = "$torch $flavour" ]; then
  echo "libtorch $torch ($flavour) is in place: $home"
  exit 0
fi

work=$(mktemp -d "$PWD/.libtorch-XXXXXX")
trap 'rm -rf "$work"' EXIT
pip() { python3 -m pip --disable-pip-version-check -q "$@"; }

case $flavour in
  cpu)
    pip download --no-deps --only-binary=:all: -d "$work/wheels" \
      "torch==$torch" "nvidia-cuda-runtime==$cuda.*" "nvidia-cuda-cupti==$cuda.*"
    # A wheel is a zip file. libtorch_cpu.so asks for libcudart and libcupti and for nothing else of CUDA.
    python3 - "$work/wheels" "$work/tree" <<'PY'
import fnmatch, pathlib, sys, zipfile
wanted = ["torch/lib/libtorch.so", "torch/lib/libtorch_cpu.so", "torch/lib/libc10.so",
          "torch/lib/libshm.so", "torch/lib/libgomp*", "torch/include/*", "nvidia/*"]
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            if any(fnmatch.fnmatch(name, w) for w in wanted):
                z.extract(name, sys.argv[2])
PY
    ;;
  gpu) pip install --no-compile --only-binary=:all: --target "$work/tree" "torch==$torch" ;;
  *) echo "usage: $0 [cpu|gpu]" >&2; exit 64 ;;
esac

echo "$torch $flavour" > "$work/tree/flavour"
rm -rf "$home"
mv "$work/tree" "$home"
echo "libtorch $torch ($flavour) is in place: $home"

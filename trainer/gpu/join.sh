#!/usr/bin/env bash
# Here, after a call: puts what came back into runs/, and keeps it for a later session.
#   trainer/gpu/join.sh FOLDER [RUNS]    FOLDER is the reply's files_at; RUNS is runs/ by default
# It also leaves a copy in .gpu-state/, which `run.sh --take .gpu-state` brings to a fresh machine.
set -euo pipefail
from=$(cd "${1:?the folder that the files came back to}" && pwd)
cd "$(dirname "$0")/../.."
runs=${2:-runs}
mkdir -p "$runs" .gpu-state
python3 trainer/gpu/parts.py join "$from" "$runs"
rm -f .gpu-state/*
cp "$from"/run.part-* .gpu-state/
if [ -e "$from/best.safetensors" ]; then cp "$from/best.safetensors" .gpu-state/; fi
chmod -R u+w .gpu-state

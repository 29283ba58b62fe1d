#!/usr/bin/env python3
"""Run folders in files small enough to come back, and whole again.

    parts.py split RUNS STAGE OUT   OUT/run.part-0, -1, … : the latest checkpoint of RUNS/STAGE, and
                                    configuration, metrics and plots of every stage in RUNS
    parts.py join PARTS RUNS        from the folder PARTS, with best.safetensors where it is there

A checkpoint is 54 MB (weights, their average, two moments), and files may have 16 MiB each and
64 MiB together with the best model's 13. The bytes are sorted by their place in a float first: the
exponents then shrink to a third, so that the whole does to five sixths. Nothing is lost: a checksum
of the whole is checked, and a run resumed from it is resumed exactly.
"""
import hashlib, io, json, pathlib, sys, tarfile, zlib
from concurrent.futures import ThreadPoolExecutor

PART = 15 << 20
TOGETHER = 63 << 20
SMALL = ("run.toml", "metrics.jsonl", "finished", "*.svg", "*.png")


def split(runs, stage, out):
    chosen = [p for run in runs.iterdir() for small in SMALL for p in run.glob(small)]
    if not (runs / stage / "finished").exists():
        chosen += sorted((runs / stage / "checkpoints").glob("step-*.safetensors"))[-1:]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(chosen):
            tar.add(path, arcname=str(path.relative_to(runs)))
    whole = buffer.getvalue()
    # Tar pads to 512 bytes and safetensors to 8, so every float begins at a multiple of 4.
    with ThreadPoolExecutor(4) as pool:
        planes = list(pool.map(lambda i: zlib.compress(whole[i::4], 1), range(4)))
    head = {"stage": stage, "bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest(),
            "planes": [len(p) for p in planes]}
    packed = json.dumps(head).encode() + b"\n" + b"".join(planes)
    others = sum(p.stat().st_size for p in out.iterdir() if not p.name.startswith("run.part-"))
    if others + len(packed) > TOGETHER:
        sys.exit(f"{len(packed)} bytes of state and {others} beside it are over 63 MiB: not collected")
    for n, start in enumerate(range(0, len(packed), PART)):
        (out / f"run.part-{n}").write_bytes(packed[start:start + PART])


def join(parts, runs):
    files = sorted(parts.glob("run.part-*"))
    if not files:
        sys.exit(f"{parts}: no run.part-0 in it")
    head, packed = b"".join(f.read_bytes() for f in files).split(b"\n", 1)
    head = json.loads(head)
    if len(packed) != sum(head["planes"]):
        sys.exit(f"{parts}: {len(packed)} bytes, not {sum(head['planes'])}: a part is missing")
    whole = bytearray(head["bytes"])
    for i, length in enumerate(head["planes"]):
        whole[i::4] = zlib.decompress(packed[:length])
        packed = packed[length:]
    if hashlib.sha256(whole).hexdigest() != head["sha256"]:
        sys.exit(f"{parts}: the checksum is off; copy the parts again")
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        tar.extractall(runs, filter="data")
    best = parts / "best.safetensors"
    if best.exists():
        (runs / head["stage"] / best.name).write_bytes(best.read_bytes())
    for stage in sorted(p.name for p in runs.iterdir() if (p / "run.toml").exists()):
        (runs / stage / "checkpoints").mkdir(exist_ok=True)
    print(f"{runs / head['stage']}: whole again")


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "split":
        split(pathlib.Path(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4]))
    elif len(sys.argv) == 4 and sys.argv[1] == "join":
        join(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs YuNet's published 320x320 file on held-out pictures, by the protocol of `facelatch
evaluate-detector`, and races it against ours on one thread.

    python3 benches/yunet.py yunet_n_320_320.onnx detect.zip --facelatch target/release/facelatch

Needs onnxruntime, numpy and pillow (PyPI). The labels are YuNet's own, found at 320 and 640 px, so its
recall here says how much of that one size sees; the landmarks are also compared with a person's.
"""
import argparse, io, json, statistics, subprocess, time, zipfile

import numpy as np
import onnxruntime
from PIL import Image

SIDE = 320


def letterbox(picture):
    scale = SIDE / max(picture.size)
    size = [max(1, round(v * scale)) for v in picture.size]
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    canvas[: size[1], : size[0]] = np.asarray(picture.resize(size, Image.BILINEAR), np.float32)[:, :, ::-1]
    return canvas.transpose(2, 0, 1)[None], scale


def iou(a, b):
    left, top = np.maximum(a[:2], b[:2])
    right, bottom = np.minimum(a[:2] + a[2:4], b[:2] + b[2:4])
    shared = max(0, right - left) * max(0, bottom - top)
    return shared / max(1e-9, a[2] * a[3] + b[2] * b[3] - shared)


def decode(out, scale, lowest=0.01):
    """Rows of x, y, w, h, score and ten landmark numbers, px of the picture, without repeats."""
    rows = []
    for s in (8, 16, 32):
        n = SIDE // s
        score = np.sqrt(np.clip(out[f"cls_{s}"], 0, 1) * np.clip(out[f"obj_{s}"], 0, 1))[0, :, 0]
        for i in np.flatnonzero(score > lowest):
            at = np.array([i % n, i // n])
            box, points = out[f"bbox_{s}"][0, i], out[f"kps_{s}"][0, i].reshape(5, 2)
            centre, size = (at + box[:2]) * s, np.exp(box[2:]) * s
            rows.append(np.concatenate([(centre - size / 2) / scale, size / scale, [score[i]],
                                        ((points + at) * s / scale).ravel()]))
    kept = []
    for row in sorted(rows, key=lambda r: -r[4]):
        if all(iou(row, k) <= 0.4 for k in kept):
            kept.append(row)
    return kept


def measure(session, pictures):
    name, names = session.get_inputs()[0].name, [o.name for o in session.get_outputs()]
    archive = zipfile.ZipFile(pictures)
    truth = [json.loads(line) for line in archive.read("annotations.jsonl").decode().splitlines()]
    truth = [t for t in truth if t["split"] == "test"]
    scored, faces, errors, by_person = [], 0, [], []
    for t in truth:
        picture = Image.open(io.BytesIO(archive.read(t["image"]))).convert("RGB")
        pixels, scale = letterbox(picture)
        found = decode(dict(zip(names, session.run(None, {name: pixels}))), scale)
        faces += len(t["faces"])
        free = {i: np.array(f["box"]) for i, f in enumerate(t["faces"])}
        for row in found:
            best = max(free, key=lambda i: iou(row, free[i]), default=None)
            hit = best is not None and iou(row, free[best]) >= 0.5
            if hit:
                box = free.pop(best)
                wanted = [(errors, t["faces"][best]["landmarks"])]
                if "manual_landmarks" in t and inside(t["manual_landmarks"][2], box):
                    wanted.append((by_person, t["manual_landmarks"]))
                for sums, points in wanted:
                    off = np.linalg.norm(row[5:].reshape(5, 2) - points, axis=1).mean()
                    sums.append((row[4], off / np.sqrt(row[2] * row[3])))
            elif any(overlap(row, np.array(b)) >= 0.5 for b in t["ignore"]):
                continue
            scored.append((row[4], hit))
    scored.sort(key=lambda s: -s[0])
    report = {"pictures": len(truth), "faces": faces}
    for rate in (0.1, 0.01):
        right = wrong = 0
        for _, hit in scored:
            right, wrong = right + hit, wrong + (not hit)
            if wrong > rate * len(truth):
                break
        report[f"recall_at_{rate}_false_a_picture"] = right / faces
    for name, sums in (("labels", errors), ("a_person", by_person)):
        sure = [e for score, e in sums if score >= 0.5]
        report[f"landmarks_off_{name}_percent_of_box"] = 100 * float(np.mean(sure))
    return report


def inside(point, box):
    return box[0] <= point[0] <= box[0] + box[2] and box[1] <= point[1] <= box[1] + box[3]


def overlap(row, box):
    left, top = np.maximum(row[:2], box[:2])
    right, bottom = np.minimum(row[:2] + row[2:4], box[:2] + box[2:4])
    return max(0, right - left) * max(0, bottom - top) / max(1e-9, row[2] * row[3])


def race(session, facelatch, detectors, rounds=5):
    """Median ms of the network alone for YuNet, of letterbox, network and decoding for ours, in turns."""
    name = session.get_inputs()[0].name
    pixels = np.random.rand(1, 3, SIDE, SIDE).astype(np.float32) * 255
    times = {"yunet": [], **{d: [] for d in detectors}}
    for _ in range(rounds):
        for _ in range(20):
            start = time.perf_counter()
            session.run(None, {name: pixels})
            times["yunet"].append(1000 * (time.perf_counter() - start))
        for d in detectors:
            command = [facelatch, "bench", "--json", "--runs", "40", "--detector", d]
            report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            times[d].append(report["stages"][0]["median"])
    middle = {name: statistics.median(t) for name, t in times.items()}
    return {"ms": middle, "speed_to_yunet": {d: middle["yunet"] / middle[d] for d in detectors}}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("yunet")
    p.add_argument("pictures")
    p.add_argument("--facelatch", help="binary to race against")
    p.add_argument("--detector", action="append", default=[], help="file to race with; again for more")
    a = p.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(a.yunet, options)
    report = measure(session, a.pictures)
    if a.facelatch:
        report["race"] = race(session, a.facelatch, a.detector or ["models/detector-int8.onnx"])
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs an exported network in onnxruntime on seeded random images and compares it with another file
or with another engine's embeddings. Needs `pip install onnxruntime onnx numpy`.

    onnxruntime_check.py int8.onnx --reference f32.onnx --images 16
    onnxruntime_check.py f32.onnx --inputs images.f32 --embeddings tract.f32

Prints one JSON object; the exit status is 1 where the file is not valid ONNX, an embedding is not a
unit vector, or a limit given with --max-delta or --min-cosine is missed.
"""

import argparse
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--reference", help="an ONNX file to compare with, for instance the f32 one")
    parser.add_argument("--images", type=int, default=8, help="how many random images (default 8)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", help="raw f32 images [N, 3, S, S] instead of random ones")
    parser.add_argument("--embeddings", help="raw f32 embeddings of --inputs by another engine")
    parser.add_argument("--max-delta", type=float, help="largest difference of a component to accept")
    parser.add_argument("--min-cosine", type=float, help="smallest cosine to accept")
    return parser.parse_args()


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def random_images(count, side, seed):
    """Stripes and noise, every value a byte / 255."""
    rng = np.random.default_rng(seed)
    grid = np.mgrid[0:side, 0:side].astype(np.float32)
    wave = rng.uniform(0, 0.4, (count, 3, 2)).astype(np.float32)
    phase = np.einsum("ncd,dij->ncij", wave, grid) + rng.uniform(0, 6.3, (count, 3, 1, 1))
    images = 0.5 + 0.35 * np.sin(phase) + 0.1 * rng.standard_normal((count, 3, side, side))
    return (np.round(np.clip(images, 0, 1) * 255) / 255).astype(np.float32)


def embed(model, images):
    """One image at a time, and all at once: a batch must change nothing."""
    single = np.concatenate([model.run(None, {"image": image[None]})[0] for image in images])
    batch = model.run(None, {"image": images})[0]
    return single, float(np.abs(single - batch).max())


def compare(a, b):
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    result = {
        "max_delta": float(np.abs(a - b).max()),
        "min_cosine": float(cosine.min()),
        "mean_cosine": float(cosine.mean()),
    }
    if len(a) > 1:
        # A random network gives every image nearly the same embedding; what differs is the signal.
        centred = [x - b.mean(0) for x in (a, b)]
        norms = [np.linalg.norm(x, axis=1) for x in centred]
        result["min_centred_cosine"] = float(((centred[0] * centred[1]).sum(1) / norms[0] / norms[1]).min())
    return result


def main():
    args = arguments()
    onnx.checker.check_model(onnx.load(args.model), full_check=True)
    model = session(args.model)
    side = model.get_inputs()[0].shape[2]
    if args.inputs:
        images = np.fromfile(args.inputs, np.float32).reshape(-1, 3, side, side)
    else:
        images = random_images(args.images, side, args.seed)
    found, batch_delta = embed(model, images)
    norms = np.linalg.norm(found, axis=1)
    result = {
        "model": os.path.basename(args.model),
        "onnxruntime": ort.__version__,
        "bytes": os.path.getsize(args.model),
        "images": len(images),
        "side": side,
        "batch_delta": batch_delta,
        "norm": [float(norms.min()), float(norms.max())],
    }
    good = bool(np.abs(norms - 1).max() < 1e-4)
    others = {}
    if args.reference:
        others["reference"] = embed(session(args.reference), images)[0]
    if args.embeddings:
        others["embeddings"] = np.fromfile(args.embeddings, np.float32).reshape(found.shape)
    for name, other in others.items():
        result[name] = compare(found, other)
        good &= args.max_delta is None or result[name]["max_delta"] <= args.max_delta
        good &= args.min_cosine is None or result[name]["min_cosine"] >= args.min_cosine
    print(json.dumps(result, indent=2))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

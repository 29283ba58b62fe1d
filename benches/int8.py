#!/usr/bin/env python3
"""Races our int8 kernels against other runtimes on the same network, one inference at a time, all in one
run: every worker is its own process on the same core, and they take turns.

    cargo build --release --example plan
    python3 benches/int8.py mobilenet-facenet-qdq-u8.onnx --tflite mobilenet-facenet-int8.tflite

Needs numpy, onnx, onnxruntime, openvino and ai-edge-litert (PyPI); a runtime that is not there is left
out and named. The f32 network is the same file with its quantization taken out. `--json` for scripts.
`--faces crops.zip` compares outputs with onnxruntime's on 200 pictures instead (needs pillow).
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

WORKER = r"""
import sys, time
import numpy as np
kind, path, threads, shape = sys.argv[1], sys.argv[2], int(sys.argv[3]), eval(sys.argv[4])
rng = np.random.default_rng(1)
x = rng.random(shape, dtype=np.float32)
start = time.perf_counter()
if kind == "onnxruntime":
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads, o.log_severity_level = threads, 1, 3
    s = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    name = s.get_inputs()[0].name
    run = lambda: s.run(None, {name: x})
elif kind == "openvino":
    import openvino as ov
    config = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    request = ov.Core().compile_model(path, "CPU", config).create_infer_request()
    run = lambda: request.infer([x])
else:
    from ai_edge_litert.interpreter import Interpreter
    i = Interpreter(path, num_threads=threads)
    i.allocate_tensors()
    d = i.get_input_details()[0]
    y = x.reshape(d["shape"]) if d["dtype"] == np.float32 else rng.integers(0, 255, d["shape"]).astype(d["dtype"])
    i.set_tensor(d["index"], y)
    run = i.invoke
loaded = time.perf_counter() - start
run()
print(loaded * 1e3, (time.perf_counter() - start) * 1e3, "-", flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    print(times[0], times[len(times) // 2], flush=True)
"""


def without_quantization(path):
    """The same network in f32: weights and biases taken up, activations passed on."""
    import numpy as np, onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    alias, nodes, made = {}, [], []
    for node in graph.node:
        node.input[:] = [alias.get(i, i) for i in node.input]
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            value, scale = constants[node.input[0]].astype(np.float32), constants[node.input[1]]
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            if scale.ndim:
                scale = scale.reshape([-1 if i == axis else 1 for i in range(value.ndim)])
            made.append(numpy_helper.from_array(value * scale, node.output[0]))
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            alias[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    used = {i for n in nodes for i in n.input}
    graph.initializer.extend(made)
    kept = [t for t in graph.initializer if t.name in used]
    new = helper.make_graph(nodes, "f32", graph.input, graph.output, kept)
    out = helper.make_model(new, opset_imports=[o for o in model.opset_import if o.domain == ""], ir_version=8)
    file = tempfile.NamedTemporaryFile(suffix=".onnx", delete=False)
    onnx.save(out, file.name)
    shape = [d.dim_value or 1 for d in graph.input[0].type.tensor_type.shape.dim]
    return file.name, shape


def parity(a, size):
    """Cosines of our outputs and onnxruntime's for the same 200 pictures."""
    import io, random, zipfile
    import numpy as np, onnxruntime
    from PIL import Image

    archive = zipfile.ZipFile(a.faces)
    names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".png", ".webp")))
    names = random.Random(1).sample(names, min(200, len(names)))
    side = (int(size[0]), int(size[1]))
    pictures = [np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB").resize(side)) for n in names]
    command = [a.plan, a.onnx, *size, "outputs"]
    text = subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), capture_output=True, check=True)
    ours = np.array([line.split() for line in text.stdout.decode().splitlines()], np.float64)
    session = onnxruntime.InferenceSession(a.onnx, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    feed = lambda p: {name: (p.astype(np.float32) / 255).transpose(2, 0, 1)[None]}
    theirs = np.array([session.run(None, feed(p))[0].ravel() for p in pictures], np.float64)
    norm = lambda m: m / np.linalg.norm(m, axis=1, keepdims=True)
    cosines = (norm(ours) * norm(theirs)).sum(1)
    report = {"pictures": len(pictures), "least": cosines.min(), "mean": cosines.mean()}
    print(json.dumps(report) if a.json else "{pictures} pictures: least cosine {least:.6f}, mean {mean:.6f}".format(**report))


class Worker:
    def __init__(self, name, command, cores, env={}):
        self.name, self.rounds = name, []
        pin = lambda: os.sched_setaffinity(0, cores)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, preexec_fn=pin, env={**os.environ, **env})
        first = self.process.stdout.readline().split()
        if len(first) < 3:
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1:])
        self.load, self.first, self.memory = float(first[0]), float(first[1]), " ".join(first[2:])

    def turn(self, runs):
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        self.rounds.append([float(v) for v in self.process.stdout.readline().split()])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("onnx")
    p.add_argument("--tflite")
    p.add_argument("--plan", default="target/release/examples/plan", help="our worker")
    p.add_argument("--rounds", type=int, default=12)
    p.add_argument("--runs", type=int, default=40)
    p.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    p.add_argument("--faces", metavar="ZIP", help="compare outputs on these pictures instead")
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    f32, shape = without_quantization(a.onnx)
    size = [str(shape[3]), str(shape[2])]
    if a.faces:
        os.unlink(f32)
        return parity(a, size)
    one, two = {a.core}, set(sorted(os.sched_getaffinity(0))[-2:])
    ours = lambda how: [a.plan, a.onnx, *size, how]
    python = lambda kind, file, threads=1: [sys.executable, "-c", WORKER, kind, file, str(threads), str(shape)]
    entries = [
        ("facelatch int8", ours("1"), one, {}),
        ("facelatch int8, avx2", ours("1"), one, {"FACELATCH_KERNELS": "avx2"}),
        ("facelatch int8, 2 threads", ours("2"), two, {}),
        ("tract f32", [a.plan, f32, *size, "stock"], one, {}),
        ("tract int8 as it comes", ours("stock"), one, {}),
        ("onnxruntime int8", python("onnxruntime", a.onnx), one, {}),
        ("onnxruntime f32", python("onnxruntime", f32), one, {}),
        ("openvino int8", python("openvino", a.onnx), one, {}),
    ]
    if a.tflite:
        entries.append(("litert int8", python("litert", a.tflite), one, {}))
    workers = []
    for entry in entries:
        try:
            workers.append(Worker(*entry))
        except Exception as e:
            print(f"left out: {entry[0]}: {e}", file=sys.stderr)
    for i in range(a.rounds):
        if sys.stderr.isatty():
            print(f"\rround {i + 1} of {a.rounds}", end="", file=sys.stderr)
        for w in workers:
            w.turn(a.runs)
    os.unlink(f32)
    rows = []
    base = workers[0]
    for w in workers:
        ratios = [x[1] / y[1] for x, y in zip(w.rounds, base.rounds)]
        rows.append({"runtime": w.name, "min_ms": min(r[0] for r in w.rounds),
            "median_ms": statistics.median(r[1] for r in w.rounds),
            "times_ours": statistics.median(ratios), "load_ms": w.load, "first_ms": w.first,
            "peak_memory": w.memory})
    if a.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"\n{'':<28}{'min ms':>9}{'median':>9}{'x ours':>8}{'load ms':>9}{'first ms':>9}  peak memory")
    for r in rows:
        print(f"{r['runtime']:<28}{r['min_ms']:9.3f}{r['median_ms']:9.3f}{r['times_ours']:8.2f}"
              f"{r['load_ms']:9.1f}{r['first_ms']:9.1f}  {r['peak_memory']}")


main()

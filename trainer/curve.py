#!/usr/bin/env python3
"""Draws how accuracy grew over one run after another, each of which went on from the one before.

    python3 trainer/curve.py docs/learning.svg runs/cpu-64 runs/cpu-112 runs/cpu-112-b …

Needs matplotlib (PyPI). Reads each run's metrics.jsonl and the batch of its run.toml; pictures are counted
from the first run's first step.
"""
import json, pathlib, sys, tomllib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "facelatch"
matplotlib.rcParams["svg.fonttype"] = "none"  # letters stay letters
import matplotlib.pyplot as plt


def batch(run):
    plan = tomllib.loads((run / "run.toml").read_text())["batch"]["blocks"]
    return plan["people"] * plan["per_person"] + plan["free"]


out, *runs = sys.argv[1:]
figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 6), layout="constrained")
seen = 0
for run in map(pathlib.Path, runs):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    size, last = batch(run), max(line["step"] for line in lines)
    measured = [line for line in lines if "lfw_accuracy" in line]
    pictures = [(seen + line["step"] * size) / 1000 for line in measured]
    above.plot(pictures, [100 * line["lfw_accuracy"] for line in measured], "o-", label=run.name)
    below.plot(pictures, [1 - line["lfw_auc"] for line in measured], "o-")
    seen += last * size
above.set_ylabel("LFW-dev accuracy, %")
above.legend(title="run")
below.set_ylabel("1 − AUC on LFW-dev")
below.set_yscale("log")
below.set_xscale("log")
below.set_xlabel("training pictures seen, thousands")
for axes in (above, below):
    axes.grid(alpha=0.3)
figure.savefig(out, metadata={"Date": None})

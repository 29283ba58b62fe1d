#!/usr/bin/env python3
"""Races `facelatch-train bench` against the same training step in PyTorch eager, in turns.

    python3 trainer/benches/race.py target/release/facelatch-train --size 160 --threads 2

Needs torch 2.11 and numpy (PyPI). Ours loads, augments and trains; PyTorch is handed a batch of
bytes that is already in memory, so it does less. Prints one JSON object; `ratio` is ours over
PyTorch's in its faster memory format, from the medians of the rounds.
"""
import argparse, json, statistics, subprocess, time

import torch
from torch import nn
import torch.nn.functional as F

BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, groups):
        super().__init__()
        self.asymmetric = stride == 2
        pad = 0 if self.asymmetric or kernel == 1 else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, 1e-3, 0.01)

    def forward(self, x):
        if self.asymmetric:
            x = F.pad(x, (0, 1, 0, 1))
        return F.relu6(self.norm(self.conv(x)), inplace=True)


class MobileNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        units, width = [Unit(3, 32, 3, 2, 1)], 32
        for out, stride in BLOCKS:
            units += [Unit(width, width, 3, stride, width), Unit(width, out, 1, 1, 1)]
            width = out
        self.units = nn.Sequential(*units)
        self.dense = nn.Linear(1024, 128, bias=False)
        self.norm = nn.BatchNorm1d(128, 1e-3, 0.005)
        self.head = nn.Linear(128, classes)

    def forward(self, x):
        x = F.dropout(self.units(x).mean((2, 3)), 0.6, self.training)
        raw = self.norm(self.dense(x))
        return raw, self.head(raw)


def batch_hard(raw, labels, margin=0.2):
    e = F.normalize(raw)
    d = (2 - 2 * e @ e.T).clamp_min(1e-8).sqrt()
    same = labels[None] == labels[:, None]
    eye = torch.eye(len(labels), dtype=torch.bool, device=raw.device)
    hardest = d.masked_fill(~(same & ~eye), -1).argmax(1, keepdim=True)
    nearest = d.masked_fill(same, 9).argmin(1, keepdim=True)
    excess = F.relu(d.gather(1, hardest) - d.gather(1, nearest) + margin)
    return excess.sum() / (excess > 0).sum().clamp_min(1)


def pytorch(a, channels_last, device):
    torch.manual_seed(1)
    model = MobileNet(a.classes).to(device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    pixels = torch.randint(0, 256, (a.batch, a.size, a.size, 3), dtype=torch.uint8)
    labels = torch.arange(a.batch // 4).repeat_interleave(4).to(device)

    def step():
        x = pixels.to(device).permute(0, 3, 1, 2).float() / 255
        if not channels_last:
            x = x.contiguous()
        with torch.autocast(device, torch.bfloat16, enabled=a.bf16):
            raw, logits = model(x)
        raw, logits = raw.float(), logits.float()
        loss = F.cross_entropy(logits, labels) + batch_hard(raw, labels)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    return step


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("binary")
    for name, default in [("size", 160), ("batch", 32), ("classes", 10_000), ("threads", 2), ("steps", 10), ("rounds", 5)]:
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--bf16", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.backends.cudnn.benchmark = True  # as ours does
    rivals = {"channels_last": pytorch(a, True, a.device), "contiguous": pytorch(a, False, a.device)}
    ours = [a.binary, "bench", "--json", "--device", a.device, *(["--bf16"] if a.bf16 else [])]
    for name in ("size", "batch", "classes", "threads", "steps"):
        ours += [f"--{name}", str(getattr(a, name))]
    rounds = {"ours": [], **{name: [] for name in rivals}}
    waits = []
    for _ in range(a.rounds):
        found = json.loads(subprocess.run(ours, check=True, capture_output=True, text=True).stdout)
        rounds["ours"].append(found["images_per_second"])
        waits.append(found["wait_share"])
        for name, step in rivals.items():
            start = time.perf_counter()
            for _ in range(a.steps):
                step()
            rounds[name].append(a.steps * a.batch / (time.perf_counter() - start))
    middle = {name: statistics.median(values) for name, values in rounds.items()}
    faster = max(rivals, key=middle.get)
    print(json.dumps({
        "ratio": middle["ours"] / middle[faster],
        "faster_pytorch_format": faster,
        "images_per_second": middle,
        "wait_share": statistics.median(waits),
        "rounds": rounds,
        **{k: getattr(a, k) for k in ("device", "size", "batch", "threads", "bf16")},
    }, indent=2))


if __name__ == "__main__":
    main()

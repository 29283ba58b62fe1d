"""Clips and visits of the people held out, for `facelatch evaluate --sets`.

    python3 benches/clips.py ../shared/data/faces clips visits
    facelatch evaluate --model models/embedding-int8.onnx --detector models/detector-int8.onnx \
        --images clips --sets clips/splits.txt --frames 6        # and with visits

A clip is six pictures of one person, taken apart. A visit is five views of *one* picture: shifted by up to 3 of
112 px, scaled by up to 5 %, turned by up to 4 degrees, up to 15 % lighter or darker, with noise of sigma 4; it is compared with
every clip but the one that its picture is in. Whoever is in the training pictures under another name is left out
(docs/data.md). Needs pillow and numpy. The pictures are real people: never commit them.
"""

import itertools
import io
import math
import pathlib
import random
import sys
import zipfile

import numpy
from PIL import Image

# Held out, and yet in training pictures under another name or none: docs/data.md.
KNOWN = {
    f"celeba/{n}" for n in (7231, 7239, 7247, 7252, 7305, 7348, 7360, 7363, 7367, 7375, 7449, 7467)
} | {"rof/emily_blunt", "rof/margot_robbie", "rof/paul_rudd"}
CLIP, VIEWS, FOLDS, MOST_PAIRS = 6, 5, 5, 20


def people(folder):
    """Held-out people with enough pictures for two clips: name, pictures."""
    found = {}
    for path in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(path) as z:
            for name in sorted(n for n in z.namelist() if n.startswith("val/") and n.endswith(".webp")):
                person = f"{path.stem}/{name.split('/')[1]}"
                found.setdefault(person, []).append(z.read(name))
    enough = {p: pictures for p, pictures in found.items() if len(pictures) >= 2 * CLIP}
    print(f"{len(found)} people held out, {len(enough)} with {2 * CLIP} pictures or more, "
          f"{len(enough.keys() - KNOWN)} of them in no training picture")
    return {p: enough[p] for p in sorted(enough.keys() - KNOWN)}


def save(image, folder, number):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{number}.jpg", quality=95)


def view(image, rng, noise):
    """One of a visit's five."""
    side = image.width
    shift = [rng.uniform(-3, 3) * 160 / 112 for _ in range(2)]
    scale, angle = rng.uniform(0.95, 1.05), math.radians(rng.uniform(-4, 4))
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    middle = side / 2
    matrix = [cos, -sin, middle - cos * (middle + shift[0]) + sin * (middle + shift[1]),
              sin, cos, middle - sin * (middle + shift[0]) - cos * (middle + shift[1])]
    moved = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    values = numpy.asarray(moved, numpy.float32) * rng.uniform(0.85, 1.15)
    values += noise.normal(0, 4, values.shape)
    return Image.fromarray(values.round().clip(0, 255).astype(numpy.uint8))


def write_splits(folder, pairs):
    """Pairs of (fold, clip, clip, same)."""
    lines = [f"{fold}, {a}, {b}, {int(same)}" for fold, a, b, same in sorted(pairs)]
    (folder / "splits.txt").write_text("\n".join(lines) + "\n")
    genuine = sum(same for *_, same in pairs)
    print(f"{folder}: {genuine} genuine pairs, {len(pairs) - genuine} impostor pairs")


def main():
    faces, clips, visits = map(pathlib.Path, sys.argv[1:])
    rng, noise = random.Random(1), numpy.random.default_rng(1)
    of_person, looks = {}, []
    for number, (person, pictures) in enumerate(people(faces).items()):
        name = person.replace("/", "-")
        rng.shuffle(pictures)
        for i in range(len(pictures) // CLIP):
            clip = f"{name}/{i}"
            of_person.setdefault(number, []).append(clip)
            for j, data in enumerate(pictures[i * CLIP:(i + 1) * CLIP]):
                image = Image.open(io.BytesIO(data)).convert("RGB")
                for folder in (clips, visits):
                    save(image, folder / clip, j)
                visit = f"{name}/v{i}-{j}"
                looks.append((number, clip, visit))
                for k in range(VIEWS):
                    save(view(image, rng, noise), visits / visit, k)
    pairs = []
    for number, own in of_person.items():
        all_pairs = list(itertools.combinations(own, 2))
        for a, b in rng.sample(all_pairs, min(MOST_PAIRS, len(all_pairs))):
            pairs.append((number % FOLDS + 1, a, b, True))
    taken = set()
    while len(taken) < len(pairs):
        a = rng.choice(sorted(of_person))
        b = rng.choice([p for p in of_person if p != a and p % FOLDS == a % FOLDS])
        taken.add((a % FOLDS + 1, rng.choice(of_person[a]), rng.choice(of_person[b]), False))
    write_splits(clips, pairs + sorted(taken))
    write_splits(visits, [
        (number % FOLDS + 1, clip, visit, number == whose)
        for number, source, visit in looks
        for whose, own in of_person.items()
        for clip in own if clip != source
    ])


if __name__ == "__main__":
    main()

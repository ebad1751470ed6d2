"""Trials on the features of a frozen trunk, compared with trials that run the trunk in every step.

The script draws JPEGs of 64 pixels, writes random weights of a ResNet-18 to a file, and checks:

- equality: features differ by at most 1e-6 from those of the trunk, and the numbers of reports by
  at most 1e-5: the kernels of a machine may round differently for batches of different sizes;
- cost: an epoch with the trunk in every step takes at least 20 times the CPU seconds of one that
  reads features;
- start: a trial whose features exist is ready for its first step in less than 2 seconds;
- low-rank updates: the second trial of a process reads no file of weights, and starts sooner.

Usage: python benchmarks/frozen.py [--count 10000] [--side 64] [--model resnet18]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

CHEAPER, START, CLOSE, SAME = 20.0, 2.0, 1e-6, 1e-5


def trial(settings, data):
    """A trial, and the seconds until it is ready for its first step."""
    from mtsearch.config.schema import DataConfig, TrialConfig
    from mtsearch.training import Trial

    begin = time.perf_counter()
    made = Trial(TrialConfig.model_validate(settings), DataConfig.model_validate(data))
    made._use_features()  # as the first step does
    return made, time.perf_counter() - begin


def epoch(made):
    """The next report of a trial without its clock, and the CPU seconds of its epoch."""
    begin = time.process_time()
    report = next(made)
    return {k: v for k, v in report.items() if k != "cost/seconds"}, time.process_time() - begin


def largest_difference(made, whole):
    """The largest difference between kept features and those of the trunk, relative to the largest
    feature."""
    from mtsearch.data.feature_batches import FeatureBatches
    from mtsearch.training.loaders import evaluation_batch_size, make_batches

    size, cpu = evaluation_batch_size(whole.dataset), torch.device("cpu")
    images = make_batches(whole.dataset, whole.dataset.splits["val"], size, cpu)
    rows = FeatureBatches(made._input.splits["val"], size, cpu)
    largest, scale = 0.0, 0.0
    with torch.no_grad():
        for (batch, _), (features, _) in zip(images, rows, strict=True):
            expected = whole.model.eval().trunk_features(batch)
            for value, other in zip(features.values, expected, strict=True):
                largest = max(largest, float((value - other).abs().max()))
                scale = max(scale, float(other.abs().max()))
    return largest / scale


def main():
    """Run the comparison; the exit code is 1 if a bar is missed."""
    from benchmarks.data import bar, draw
    from mtsearch.models import resident

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--model", default="resnet18")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root").mkdir()
        card = draw(folder / "root", arguments.count, arguments.side)
        weights = folder / "weights.pt"
        import torchvision

        torch.manual_seed(0)
        torch.save(getattr(torchvision.models, arguments.model)().state_dict(), weights)
        data = {"dataset": str(card), "root": folder / "root", "store": folder / "store"}
        backbone = {"name": "torchvision", "model": arguments.model, "weights": weights}
        settings = {
            "architecture": "hps",
            "backbone": {**backbone, "tune": "head"},
            "epochs": {"search": 0, "retrain": 1},
            "batch_size": 64,
        }
        first, computing = trial(settings, data)
        size = sum(f.stat().st_size for f in (folder / "store").rglob("*.features/*/*.bin"))
        print(f"features: {size / 1e6:.1f} MB, computed in {computing:.1f} s")
        whole, _ = trial(settings, {**data, "features": "off"})
        met = [bar("difference of features", largest_difference(first, whole), CLOSE, False)]
        expected, with_trunk = epoch(whole)
        found, without = epoch(first)
        assert found.keys() == expected.keys()
        differences = {
            key: abs(found[key] - value) / max(1e-12, abs(value))
            for key, value in expected.items()
            if found[key] != value
        }
        print(f"reports: {len(differences)} of {len(expected)} numbers differ {differences}")
        met.append(
            bar("relative difference of reports", max(differences.values(), default=0), SAME, False)
        )
        print(f"epoch: {with_trunk:.2f} CPU s with the trunk, {without:.3f} with its features")
        met.append(bar("cost of the trunk", with_trunk / without, CHEAPER))
        starts = [trial({**settings, "seed": 0}, data)[1] for _ in range(3)]
        met.append(bar("start of a trial", min(starts), START, False, " s"))
        lora = {**settings, "backbone": {**backbone, "tune": {"lora": {"rank": 4}}}}
        resident.forget()
        times = [trial(lora, data)[1] for _ in range(2)]
        print(f"low-rank updates: first trial {times[0]:.2f} s, second trial {times[1]:.2f} s")
        ratio = with_trunk / without
        print(
            json.dumps(
                {"ratio": ratio, "start": min(starts), "lora": times, "cores": os.cpu_count()}
            )
        )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())

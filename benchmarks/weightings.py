"""What a balancing method's backward pass costs beside a plain summed one: `python
benchmarks/weightings.py [blocks] [tasks ...]`.

A ResNet-18 with a linear head a task on joint batches of 64 images of 64 x 64. Timed is the
backward pass alone, from the losses to the gradients, with the forward pass outside the clock on
both sides: what a method adds is divided by less than a whole step. At first each method with a
counterpart in TorchJD must leave the gradients that TorchJD's aggregator gives on the features'
Jacobian, in float64, MGDA for two tasks (for more, TorchJD's solver stops early); GradNorm and
DB-MTL have none: tests compare them. Then blocks are interleaved: in each, the plain pass runs
before every third method, and a method's time is divided by the mean of the two plain ones around
it. The clock counts the process's CPU seconds, which other processes on the machine do not
lengthen.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torchjd import aggregation as jd
from torchvision.models import resnet18

from mtsearch.balancing import Step, build_balancing
from mtsearch.config.registry import methods
from mtsearch.config.weightings import GradientMethod

BAR, BATCH, SIZE, CLASSES = 1.5, 64, 64, 10
BARRED = (
    "mgda",
    "pcgrad",
    "gradvac",
    "upgrad",
    "dualproj",
    "config",
    "aligned_mtl",
    "imtl_g",
    "pcd",
    "gradnorm",
)  # closed forms and QPs
COUNTERPARTS = {
    "mgda": lambda k: jd.MGDA(),
    "pcgrad": lambda k: jd.PCGrad(),
    "gradvac": lambda k: jd.GradVac(),
    "upgrad": lambda k: jd.UPGrad(),
    "dualproj": lambda k: jd.DualProj(),
    "config": lambda k: jd.ConFIG(),
    "aligned_mtl": lambda k: jd.AlignedMTL(),
    "imtl_g": lambda k: jd.IMTLG(),
    "pcd": lambda k: jd.PCD(eps=0.0),
    "cagrad": lambda k: jd.CAGrad(c=0.5),
    "nash_mtl": lambda k: jd.NashMTL(n_tasks=k),
    "fairgrad": lambda k: jd.FairGrad(alpha=1.0),
    "graddrop": lambda k: jd.GradDrop(),
    "sdmgrad": lambda k: jd.WeightedAggregator(
        jd.SDMGradWeighting(lr=0.3) << (lambda matrix: matrix @ matrix.T)
    ),
}


class Net:
    """A trunk, K heads, a batch with labels for all tasks."""

    def __init__(self, k: int, dtype: torch.dtype = torch.float32, batch: int = BATCH) -> None:
        torch.manual_seed(0)
        self.trunk = resnet18(num_classes=1)
        self.trunk.fc = torch.nn.Identity()
        self.trunk.to(dtype, memory_format=torch.channels_last)
        self.heads = torch.nn.ModuleList(torch.nn.Linear(512, CLASSES) for _ in range(k)).to(dtype)
        self.images = torch.randn(batch, 3, SIZE, SIZE, dtype=dtype).contiguous(
            memory_format=torch.channels_last
        )
        self.labels = torch.randint(CLASSES, (k, batch))
        self.parameters = [*self.trunk.parameters(), *self.heads.parameters()]

    def terms(self, feature: torch.Tensor) -> list[torch.Tensor]:
        return [
            F.cross_entropy(head(feature), labels)
            for head, labels in zip(self.heads, self.labels, strict=True)
        ]

    def step(self, level: str, scale: float = 1.0) -> Step:
        for p in self.parameters:
            p.grad = None
        feature = self.trunk(self.images)
        read = feature.detach().requires_grad_() if level == "feature" else feature
        terms = [scale * term for term in self.terms(read)] if scale != 1 else self.terms(read)
        return Step(
            torch.stack(terms),
            tuple(range(len(terms))),
            [feature],
            [read],
            list(self.trunk.parameters()),
            terms=terms,
        )


def candidates(k: int) -> dict[str, object]:
    """Each gradient method at ``level: feature``, or where it belongs, by name."""
    equal = torch.full((k,), 1 / k, dtype=torch.float64)
    found = {}
    for name, settings in methods("balancing").items():
        if issubclass(settings, GradientMethod):
            found[name] = build_balancing(settings(), equal)
    found["mgda at parameters"] = build_balancing(
        methods("balancing")["mgda"](level="parameter"), equal
    )
    return found


def difference(name: str, k: int) -> float:
    """Largest relative difference of a parameter's gradient from TorchJD's aggregator on the
    features' Jacobian, float64."""
    net = Net(k, torch.float64, batch=4)
    scale = 100.0  # TorchJD's projections take squares below 1e-4 for zero
    method = candidates(k)[name]
    torch.manual_seed(1)
    method.backward(net.step("feature", scale))
    ours = [p.grad.clone() for p in net.parameters]
    step = net.step("feature", scale)
    (leaf,), (feature,) = step.read, step.shared
    rows = [torch.autograd.grad(term, leaf, retain_graph=True)[0].flatten() for term in step.terms]
    torch.manual_seed(1)
    feature.backward(COUNTERPARTS[name](k)(torch.stack(rows)).view_as(feature))
    sum(step.terms).backward()
    return max(
        ((a - p.grad).abs().max() / p.grad.abs().max().clamp(min=1e-30)).item()
        for a, p in zip(ours, net.parameters, strict=True)
    )


def timed(net: Net, method: object | None) -> float:
    step = net.step("loss" if method is None else method.level)
    start = time.process_time()
    if method is None:
        step.losses.sum().backward()
    else:
        method.backward(step)
    return time.process_time() - start


def measure(k: int, blocks: int) -> dict[str, float]:
    net, chosen = Net(k), candidates(k)
    names = list(chosen)
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for block in range(blocks + 1):
        order = names[block % len(names) :] + names[: block % len(names)]
        plain = timed(net, None)
        for i in range(0, len(order), 3):
            times = {name: timed(net, chosen[name]) for name in order[i : i + 3]}
            after = timed(net, None)
            if block > 0:
                for name, seconds in times.items():
                    ratios[name].append(seconds / ((plain + after) / 2))
            plain = after
    return {name: statistics.median(values) for name, values in ratios.items()}


def main() -> int:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning, module="torchjd")
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    tasks = [int(v) for v in sys.argv[2:]] or [2, 4, 8, 11]
    differences = {name: difference(name, 2 if name == "mgda" else 3) for name in COUNTERPARTS}
    wrong = {name: value for name, value in differences.items() if value > 1e-6}
    if wrong:
        print(f"gradients differ from TorchJD's, nothing was timed: {wrong}")
        return 1
    figures = {k: measure(k, blocks) for k in tasks}
    names = sorted(figures[tasks[0]], key=lambda name: (name not in BARRED, name))
    print(
        f"{'backward pass / plain sum':<28}"
        + "".join(f"{f'K = {k}':>9}" for k in tasks)
        + f"   bar {BAR} where marked *"
    )
    for name in names:
        print(
            f"{name + (' *' if name in BARRED else ''):<28}"
            + "".join(f"{figures[k][name]:>9.2f}" for k in tasks)
        )
    met = all(figures[k][name] <= BAR for k in tasks for name in BARRED)
    rounded = {
        str(k): {name: round(value, 3) for name, value in row.items()} for k, row in figures.items()
    }
    line = {
        "benchmark": "weightings",
        "batch": BATCH,
        "size": SIZE,
        "blocks": blocks,
        "bar": BAR,
        "barred": BARRED,
        "met": met,
    }
    print(json.dumps({**line, "largest_difference": max(differences.values()), "figures": rounded}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

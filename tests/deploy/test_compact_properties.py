"""Properties of compaction on random networks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtsearch.deploy import compact
from mtsearch.deploy.compare import first_difference
from mtsearch.models import model_macs

STEPS = ("conv", "norm", "relu", "inplace", "add", "cat", "gate", "pool", "depthwise", "scale")


class Drawn(nn.Module):
    """A network of random steps; each may read every map computed before."""

    def __init__(self, steps: list[tuple[str, int]], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.steps, self.parts = steps, nn.ModuleDict()
        widths = [3]
        for number, (step, choice) in enumerate(steps):
            width, other = widths[-1], widths[choice % len(widths)]
            if step == "conv":
                width = 2 + choice % 7
                self.parts[str(number)] = nn.Conv2d(widths[-1], width, 3, padding=1)
            elif step == "norm":
                self.parts[str(number)] = nn.BatchNorm2d(width)
            elif step == "depthwise":
                self.parts[str(number)] = nn.Conv2d(width, width, 3, padding=1, groups=width)
            elif step == "gate":
                self.parts[str(number)] = nn.Conv2d(width, width, 1)
            elif step == "cat":
                width += other
            widths.append(width)
        self.head = nn.Linear(widths[-1], 2)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for number, part in (*self.parts.items(), ("head", self.head)):
                if isinstance(part, nn.BatchNorm2d):
                    part.running_mean.normal_(generator=generator)
                    part.weight.normal_(generator=generator)
                elif getattr(part, "groups", 1) == 1 and not (
                    number == "0" and isinstance(part, nn.Conv2d)
                ):
                    rows = torch.rand(part.weight.shape[1], generator=generator) < 0.5
                    part.weight[:, rows] = 0

    def forward(self, x):
        maps, parts = [x], dict(self.parts.items())
        for number, (step, choice) in enumerate(self.steps):
            x, part = maps[-1], parts.get(str(number))
            other = maps[choice % len(maps)]
            if step in ("conv", "norm", "depthwise"):
                x = part(x)
            elif step == "gate":
                x = x * part(x.mean((2, 3), keepdim=True)).sigmoid()
            elif step == "relu":
                x = x.relu()
            elif step == "inplace" and number:
                x.clamp_(min=-0.1)
            elif step == "add" and other.shape == x.shape:
                x = x + other
            elif step == "cat":
                x = torch.cat([other, x], 1)
            elif step == "pool":
                x = nn.functional.avg_pool2d(x, 3, 1, 1)
            elif step == "scale":
                x = x * (1 + choice) / 3
            maps.append(x)
        return self.head(maps[-1].mean((2, 3)))


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 20)), min_size=1, max_size=9),
    seed=st.integers(0, 2**31),
)
def test_random_networks_keep_their_function(steps, seed):
    net = Drawn(steps, seed).eval().double()
    found = compact(net, (3, 6, 6)).model
    x = torch.randn(4, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        assert first_difference(net(x.clone()), found(x.clone()), 1e-10) is None
    assert model_macs(found, (3, 6, 6)) <= model_macs(net, (3, 6, 6))

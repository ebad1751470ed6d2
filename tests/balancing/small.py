"""A small shared network with any number of tasks, and steps on it."""

from __future__ import annotations

import torch
from torch import nn

from mtsearch.balancing import Step, build_balancing


class Net(nn.Module):
    """Two shared features (one of them a map) and one head per task; every second task conflicts
    with the previous one."""

    def __init__(self, k: int, dtype=torch.float64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh())
        self.map = nn.Conv2d(3, 3, 1)
        self.neck = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(6 + (3 if i % 3 == 0 else 0), 1) for i in range(k))
        self.to(dtype)

    def share(self, x):
        features = self.trunk(x)
        # neither feature depends on the other, because TorchJD would count such a feature twice
        return [self.map(features), self.neck(features)]

    def decode(self, shared):
        pooled = shared[0].mean((2, 3))
        return [
            head(torch.cat([shared[1], pooled], 1) if i % 3 == 0 else shared[1])
            for i, head in enumerate(self.heads)
        ]

    @property
    def shared_parameters(self):
        return [*self.trunk.parameters(), *self.map.parameters(), *self.neck.parameters()]


def net_and_batch(k: int, dtype=torch.float64, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = Net(k, dtype)
    x = torch.randn(8, 1, 6, 6, generator=generator, dtype=dtype)
    targets = torch.randn(k, 8, 1, generator=generator, dtype=dtype)
    targets[1::2] = -targets[0::2][: len(targets[1::2])]
    return net, x, targets


def losses_of(net, shared, targets, scale=1.0):
    return [
        scale * (out - target).square().mean()
        for out, target in zip(net.decode(shared), targets, strict=True)
    ]


def step_of(net, x, targets, level: str, scale=1.0) -> Step:
    shared = net.share(x)
    read = [f.detach().requires_grad_() for f in shared] if level == "feature" else shared
    terms = losses_of(net, read, targets, scale)
    return Step(
        torch.stack(terms),
        tuple(range(len(terms))),
        shared,
        read,
        net.shared_parameters,
        terms=terms,
    )


def equal(k: int):
    return torch.full((k,), 1 / k, dtype=torch.float64)


def updated(method, net, x, targets, scale=1.0) -> dict[str, torch.Tensor]:
    """Return the gradients of the network after one step."""
    net.zero_grad(set_to_none=True)
    method.backward(step_of(net, x, targets, method.level, scale))
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def method_of(settings, k: int, preference=None):
    return build_balancing(settings, equal(k) if preference is None else preference)

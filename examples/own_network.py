"""Search the learning rate, the balancing and the sparsity of a network and data loaders of your
own. The data are drawn here. Usage: python examples/own_network.py [TRIALS]
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import mtsearch


class Houses(Dataset):
    """Six numbers of a house, its price, and whether it was sold, which is not always known."""

    def __init__(self, seed: int, count: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(count, 6, generator=generator)
        self.price = self.x[:, 0] + self.x[:, 1] * self.x[:, 2]
        self.sold = (self.x[:, 3] + 0.5 * self.price > 0).long()
        self.sold[::10] = -1  # not known

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return self.x[k], {"price": self.price[k], "sold": self.sold[k]}


class Network(nn.Module):
    """A trunk that both tasks share, and a layer for each of them."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.price, self.sold = nn.Linear(width, 1), nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.trunk(x)
        return {"price": self.price(features), "sold": self.sold(features)}


def main() -> None:
    run = mtsearch.search(
        model=Network,
        data={
            "train": DataLoader(Houses(0, 1000), batch_size=100, shuffle=True),
            "val": DataLoader(Houses(1, 300), batch_size=100),
            "test": DataLoader(Houses(2, 300), batch_size=100),
        },
        tasks={"price": "regression", "sold": "classification"},
        shared=["trunk"],
        space={
            "trial.balancing": {"choice": ["linear", "upgrad"], "default": "linear"},
            "trial.sparsity": {"mode": "target", "target": {"uniform": [0.1, 0.8], "default": 0.5}},
        },
        trials=int(sys.argv[1]) if len(sys.argv) > 1 else 4,
    )
    picked = run.pick()
    print(picked.load().predict(Houses(3, 2).x))
    print(picked.export("own_network"))


if __name__ == "__main__":
    main()

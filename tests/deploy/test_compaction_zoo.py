"""Compaction compared with the original on networks as users write them.

As a script it prints what is left of the parameters and multiply-accumulates of each network:
`python tests/deploy/test_compaction_zoo.py`.
"""

import pytest
import torch
from torch import nn
from zoo import ZOO

from mtsearch.deploy import compact
from mtsearch.deploy.compare import first_difference
from mtsearch.deploy.modules import copy_of
from mtsearch.models import model_macs

SMALLER_AT_LEAST = 40
NETWORKS_AT_LEAST = 60


def build(name: str) -> nn.Module:
    """A network in float64 with half of the input rows of each layer zero."""
    torch.manual_seed(sum(name.encode()))
    net = ZOO[name].make().eval().double()
    first = True
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            with torch.no_grad():
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_()
                module.bias.normal_()
                module.weight[::5] = 0  # constant channels
    for module in net.modules():
        ungrouped = isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.groups == 1
        if (ungrouped or isinstance(module, nn.Linear)) and module.weight.is_leaf:
            if first:  # reads the images
                first = False
                continue
            with torch.no_grad():
                rows = torch.randperm(module.weight.shape[1])[: module.weight.shape[1] // 2]
                module.weight[:, rows] = 0
    return net


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def check(name: str) -> tuple[float, float]:
    """Compact a network and compare; what is left of its parameters and multiply-accumulates."""
    zoo = ZOO[name]
    net = build(name)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    found = compact(net, zoo.shape)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())
    assert found.notes
    for batch in (2, 7):
        x = torch.randn(batch, *zoo.shape, dtype=torch.float64)
        if name == "global_state":
            continue
        with torch.no_grad():
            torch.manual_seed(1)
            expected = copy_of(net)(x.clone())
            torch.manual_seed(1)
            result = copy_of(found.model)(x.clone())
        assert first_difference(expected, result, 1e-10) is None
    weights = parameters(found.model) / parameters(net)
    if weights == 1:
        assert not zoo.smaller, found.notes
        assert "Nothing was compacted" in found.notes[0] or "select or sum" in found.notes[-1]
    macs = 1.0
    if not name.startswith(("scripted", "global")):
        macs = model_macs(found.model, zoo.shape) / model_macs(net, zoo.shape)
    assert macs <= 0.6 or not zoo.plain, (macs, found.notes)
    return weights, macs


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.quick])
def test_quick_zoo_networks_keep_their_function(name):
    assert (check(name)[0] < 1) == ZOO[name].smaller


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if not entry.quick])
def test_zoo_networks_keep_their_function(name):
    check(name)


def test_zoo_has_enough_networks():
    assert len(ZOO) >= NETWORKS_AT_LEAST
    assert sum(entry.smaller for entry in ZOO.values()) >= SMALLER_AT_LEAST


def main() -> None:
    """Print a table of all networks and the number that became smaller."""
    found = {name: check(name) for name in ZOO}
    for name, (weights, macs) in found.items():
        print(f"{name:24} {100 * weights:5.0f} % of parameters {100 * macs:5.0f} % of MACs")
    smaller = sum(weights < 1 for weights, _ in found.values())
    plain = [macs for name, (_, macs) in found.items() if ZOO[name].plain]
    print(
        f"{len(found)} networks, equal to 1e-10: {smaller} smaller, {len(found) - smaller}"
        f" unchanged; {len(plain)} plain CNNs keep at most {100 * max(plain):.0f} % of their MACs"
    )


if __name__ == "__main__":
    main()

"""Hard sharing with a split of the trunk."""

import pytest
import torch
from torch import nn

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.deploy.compact import compact
from mtsearch.deploy.serving import Serving
from mtsearch.models import build_model

torch.set_num_threads(1)

TASKS = [TaskCard(name="fashion", outputs=5), TaskCard(name="object", outputs=10)]
STAGES = [928, 2_033, 14_546, 33_972, 201_135, 431_845, 1_605_840, 618_580]


def size(module):
    return sum(p.numel() for p in module.parameters())


def built(split, backbone=None, tasks=TASKS, side=32):
    torch.manual_seed(0)
    return build_model(
        schema.HPSConfig(split=split),
        backbone or schema.BackboneEfficientNetCIFARConfig(width=0.25, depth=0.5),
        tasks,
        (3, side, side),
    )


@pytest.mark.parametrize("split", range(1, 9))
def test_split_adds_later_stages_once_per_task(split):
    with torch.device("meta"):
        model = built(split, schema.BackboneEfficientNetCIFARConfig())
    assert size(model) == 2_913_694 + sum(STAGES[split:])
    assert size(model.trunk) == sum(STAGES[:split])
    assert sum(p.numel() for p in model.shared_parameters()) == sum(STAGES[:split])
    assert sum(p.numel() for p in model.task_parameters("fashion")) == sum(STAGES[split:]) + 1_605


@pytest.mark.parametrize("split", [1, 4, 8])
def test_branches_with_equal_weights_are_the_whole_trunk(split):
    cut, whole = built(split).eval(), built(None).eval()
    layers = [m for m in whole.trunk.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for name in ("fashion", "object"):
        ours = [
            m
            for part in (cut.trunk, cut.branches[name])
            for m in part.modules()
            if isinstance(m, nn.Conv2d | nn.BatchNorm2d)
        ]
        for mine, theirs in zip(ours, layers, strict=True):
            mine.load_state_dict(theirs.state_dict())
    cut.heads.load_state_dict(whole.heads.state_dict())
    x = torch.randn(3, 3, 32, 32)
    assert all(torch.equal(cut(x)[name], logits) for name, logits in whole(x).items())


def test_split_at_the_end_separates_only_necks():
    model = built(2, schema.BackboneCMConfig())
    assert len(model.share(torch.zeros(2, 3, 32, 32))) == 1
    assert [type(layer).__name__ for layer in model.branches["object"][0]] == [
        "FlattenPixels",
        "Linear",
        "ReLU",
    ]


def test_branch_of_a_map_task_ends_at_map():
    model = built(
        1,
        schema.BackboneWRNConfig(depth=10, widen=1),
        [TASKS[0], TaskCard(name="pixels", kind="segmentation", outputs=3)],
    )
    assert {name: tuple(v.shape) for name, v in model(torch.zeros(2, 3, 32, 32)).items()} == {
        "fashion": (2, 5),
        "pixels": (2, 3, 32, 32),
    }


def test_invalid_splits_are_refused():
    with pytest.raises(
        BadInput,
        match=(
            r"`trial\.architecture\.split` should be at most the number of parts of the trunk,"
            r" 8 for this backbone\. Found 9"
        ),
    ):
        built(9)
    with pytest.raises(BadInput, match="cannot be split"):
        built(1, schema.BackboneTorchvisionConfig(model="squeezenet1_1"))


def test_zero_rows_of_a_branch_are_compacted_away():
    model = built(1, schema.BackboneCMConfig()).eval().double()
    with torch.no_grad():
        for name in model.prunable:
            model.get_submodule(name).weight[:, ::3] = 0
    assert any(name.startswith("branches.") for name in model.prunable)
    served = Serving(model, [0.5] * 3, [0.25] * 3).double()
    small, x = compact(served, (3, 32, 32)).model, torch.randn(3, 3, 32, 32, dtype=torch.float64)
    assert size(small) < 0.8 * size(model)
    for name, logits in served(x).items():
        torch.testing.assert_close(small(x)[name], logits)

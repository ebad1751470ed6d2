"""Learning-rate schedules against values computed by hand and against the schedulers of torch."""

import pytest
import torch

from mtsearch.config.optimisation import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    StepConfig,
)
from mtsearch.training.schedules import lr_factor


def test_constant_with_warmup_rises_linearly_over_its_epochs():
    factors = [lr_factor(ConstantConfig(warmup=1), step, 4, 3) for step in range(6)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_step_drops_every_so_many_epochs():
    config = StepConfig(every=3, gamma=0.5)
    assert [lr_factor(config, epoch * 10, 10, 9) for epoch in (0, 2, 3, 5, 6)] == pytest.approx(
        [1, 1, 0.5, 0.5, 0.25]
    )
    assert lr_factor(config, 29, 10, 9) == 1


def test_exponential_multiplies_by_gamma_each_epoch():
    assert lr_factor(ExponentialConfig(gamma=0.9), 20, 10, 5) == pytest.approx(0.81)


def test_cosine_ends_at_its_final_fraction():
    assert lr_factor(CosineConfig(final=0.1), 0, 10, 5) == pytest.approx(1)
    assert lr_factor(CosineConfig(final=0.1), 25, 10, 5) == pytest.approx(0.55)
    assert lr_factor(CosineConfig(final=0.1), 50, 10, 5) == pytest.approx(0.1)


def test_onecycle_is_torchs_cosine_onecycle():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    steps = 50
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=steps + 1, pct_start=0.3, div_factor=25, final_div_factor=1e4
    )
    for step in range(steps):
        # torch counts its phases in steps minus one, which shifts the peak by less than a step
        assert lr_factor(OneCycleConfig(), step, 10, 5) == pytest.approx(
            torchs.get_last_lr()[0], abs=0.06
        )
        optimizer.step()
        torchs.step()

"""Batch norm over ranks in mixed precision."""

import copy

import torch
from torch import nn

from mtsearch.training.sync_norm import SyncBatchNorm2d
from mtsearch.training.world import World


def test_sync_norm_keeps_float32_statistics_in_bfloat16():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    synced = copy.deepcopy(plain)
    synced[1].__class__, synced[1].world = SyncBatchNorm2d, World()
    images = torch.randn(7, 3, 17, 17)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, found = plain(images), synced(images)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(synced[1].running_mean, plain[1].running_mean)
    torch.testing.assert_close(synced[1].running_var, plain[1].running_var, rtol=1e-4, atol=1e-6)
    found.float().square().sum().backward()
    assert synced[0].weight.grad.isfinite().all()

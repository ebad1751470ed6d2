"""Devices and memory formats of tensors and networks."""

import pytest
import torch

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig, TrialConfig
from mtsearch.data import device_of
from mtsearch.data.devices import to_device
from mtsearch.training import Trial


def test_auto_is_the_gpu_of_the_process():
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_there_is_not_is_refused():
    with pytest.raises(BadInput, match=r"`trial\.device` is cuda, but torch finds no GPU here"):
        device_of("cuda")


def test_tensors_already_on_the_device_are_returned():
    tensor = torch.arange(6)
    assert to_device(tensor, torch.device("cpu")) is tensor
    assert to_device(tensor, torch.device("meta")).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_for_a_gpu_arrives_whole():
    tensor = torch.randn(1000)
    assert torch.equal(to_device(tensor, torch.device("cuda")).cpu(), tensor)


def test_trial_weights_and_images_are_channels_last():
    trial = Trial(
        TrialConfig(epochs={"search": 0, "retrain": 1}),
        DataConfig(dataset="patches10_digits", limit=100),
    )
    weights = [p for p in trial.model.parameters() if p.dim() == 4]
    assert weights and all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    [(_, (images, _))] = trial._loader.next_batches((0, 1))
    assert images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()

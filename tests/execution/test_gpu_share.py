"""`resources.gpu: auto`: the share of a GPU that a trial reserves."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.execution import gpu_share
from mtsearch.execution.checks import check_space
from mtsearch.execution.gpu_share import PROGRAM, share_for, with_gpu_share
from mtsearch.execution.slots import worker
from tests.helpers.spaces import space

WITHOUT, WITH = [{"CPU": 4.0}], [{"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0}]
GIGA = 10**9


DATA = DataConfig(dataset="patches10_digits", limit=64)


def automatic(tmp_path, **changes):
    raw = space(tmp_path).raw
    trial = {**raw["trial"], **changes.pop("trial", {})}
    return Space({**raw, "resources": {"gpu": "auto"}, "trial": trial, **changes})


def share(space, nodes):
    return with_gpu_share(space, DATA, nodes).config.resources.gpu


def test_auto_is_zero_without_a_gpu(tmp_path):
    space = automatic(tmp_path)
    check_space(space)
    assert share(space, WITHOUT) == 0
    assert worker(space.config) == {"CPU": 1}


def test_auto_is_zero_for_trials_on_the_cpu(tmp_path):
    assert share(automatic(tmp_path, trial={"device": "cpu"}), WITH) == 0


def test_a_number_is_kept(tmp_path):
    space = automatic(tmp_path, resources={"gpu": 0.3})
    assert with_gpu_share(space, DATA, WITH) is space


def test_auto_without_a_gpu_refuses_cuda_trials(tmp_path):
    with pytest.raises(BadInput, match=r"`trial.device` is cuda, but .* no node has a GPU"):
        share(automatic(tmp_path, trial={"device": "cuda"}), WITHOUT)


def test_cuda_trials_are_refused_before_the_data_are_read(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(BadInput, match=r"`resources.gpu` is auto and this machine has no GPU"):
        check_space(automatic(tmp_path, trial={"device": "cuda"}))


def test_auto_gives_each_of_several_workers_a_gpu(tmp_path):
    assert share(automatic(tmp_path, workers=2), WITH) == 1


def test_auto_by_the_memory_of_a_step(tmp_path, monkeypatch):
    space = automatic(tmp_path)
    for memory, expected in ((80 * GIGA, 1 / 8), (6 * GIGA, 1 / 4), (GIGA, 1)):
        monkeypatch.setattr(gpu_share, "gpu_memory", lambda memory=memory: memory)
        assert share(space, WITH) == expected


def test_share_is_the_smallest_that_fits_nine_tenths():
    needed = 3 * PROGRAM  # with the program 4 GiB a trial
    sizes = {n: -(-n * 4 * PROGRAM * 10 // 9) for n in (1, 2, 4, 8)}
    for count, memory in sizes.items():
        assert share_for(needed, memory) == 1 / count
    assert share_for(needed, sizes[8] - 2) == 1 / 4
    assert share_for(needed, 10 * sizes[8]) == 1 / 8
    assert share_for(needed, PROGRAM) == 1


def test_auto_on_a_running_cluster_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    with pytest.raises(BadInput, match=r"`RAY_ADDRESS` names a cluster with GPUs. Set"):
        share(automatic(tmp_path), WITH)


@pytest.mark.slow  # imports torch in a new process
def test_auto_without_a_gpu_for_torch_is_refused(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(BadInput, match=r"torch cannot use it in a new process. Set"):
        gpu_share.gpu_memory()

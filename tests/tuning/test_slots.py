import pytest

from mtsearch.config.errors import BadInput
from mtsearch.tuning.slots import bundle, slots
from tests.tuning.spaces import space


def config(tmp_path, workers=1, slots=None, **resources):
    raw = space(tmp_path).raw
    return type(space(tmp_path))({**raw, "workers": workers, "resources": resources, "search": {**raw["search"], "slots": slots}}).config


def test_slots_are_what_fits(tmp_path):
    assert slots(config(tmp_path), {"CPU": 5.0}) == 5
    assert slots(config(tmp_path, cpu=2), {"CPU": 5.0}) == 2
    assert slots(config(tmp_path, cpu=0.1), {"CPU": 1.0}) == 10
    assert slots(config(tmp_path, cpu=1, gpu=0.5), {"CPU": 8.0, "GPU": 1.0}) == 2
    assert slots(config(tmp_path, slots=3), {"CPU": 5.0}) == 3


@pytest.mark.parametrize(
    "resources,cluster,missing",
    [({"cpu": 9}, {"CPU": 2.0}, "9 CPU, and the cluster has 2"), ({"gpu": 1}, {"CPU": 2.0}, "1 GPU, and the cluster has 0")],
)
def test_what_can_never_run_is_refused_by_the_name_of_the_resource(tmp_path, resources, cluster, missing):
    with pytest.raises(BadInput, match=missing):
        slots(config(tmp_path, **resources), cluster)


def test_more_slots_than_fit_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"4 trials at once, but CPU .* is enough for 2"):
        slots(config(tmp_path, slots=4), {"CPU": 2.0})


def test_several_workers_are_refused(tmp_path):
    with pytest.raises(BadInput, match="`workers` should be 1"):
        bundle(config(tmp_path, workers=2))

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.execution.slots import bundle, slots
from tests.helpers.spaces import space


def config(tmp_path, workers=1, slots=None, **resources):
    raw = space(tmp_path).raw
    return type(space(tmp_path))(
        {
            **raw,
            "workers": workers,
            "resources": resources,
            "search": {**raw["search"], "slots": slots},
        }
    ).config


def test_slots_are_what_fits(tmp_path):
    assert slots(config(tmp_path), [{"CPU": 5.0}]) == 5
    assert slots(config(tmp_path, cpu=2), [{"CPU": 5.0}]) == 2
    assert slots(config(tmp_path, cpu=0.1), [{"CPU": 1.0}]) == 10
    assert slots(config(tmp_path, cpu=1, gpu=0.5), [{"CPU": 8.0, "GPU": 1.0}]) == 2
    assert slots(config(tmp_path, slots=3), [{"CPU": 5.0}]) == 3


def test_slots_do_not_span_nodes(tmp_path):
    assert slots(config(tmp_path, cpu=4), [{"CPU": 6.0}, {"CPU": 6.0}]) == 2
    assert slots(config(tmp_path, cpu=4), [{"CPU": 6.0}, {"CPU": 2.0}]) == 1
    assert (
        slots(config(tmp_path, cpu=1, gpu=1), [{"CPU": 2.0, "GPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}])
        == 3
    )
    with pytest.raises(
        BadInput, match=r"12 in the cluster, 4 a trial, each on one node.* is enough for 2"
    ):
        slots(config(tmp_path, cpu=4, slots=3), [{"CPU": 6.0}, {"CPU": 6.0}])


@pytest.mark.parametrize(
    "resources,nodes,missing",
    [
        ({"cpu": 9}, [{"CPU": 2.0}], "9 CPU, and the cluster has 2"),
        ({"gpu": 1}, [{"CPU": 2.0}], "1 GPU, and the cluster has 0"),
        ({"cpu": 9}, [{"CPU": 8.0}, {"CPU": 6.0}], "9 CPU, and the largest node has 8"),
        (
            {"cpu": 2, "gpu": 1},
            [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 4.0}],
            "2 CPU and 1 GPU, and no node has them together",
        ),
    ],
)
def test_impossible_requests_name_the_resource(tmp_path, resources, nodes, missing):
    with pytest.raises(BadInput, match=missing):
        slots(config(tmp_path, **resources), nodes)


def test_more_slots_than_fit_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"4 trials at once, but CPU .* is enough for 2"):
        slots(config(tmp_path, slots=4), [{"CPU": 2.0}])


def test_worker_groups_may_span_nodes(tmp_path):
    assert bundle(config(tmp_path, workers=3, cpu=2, gpu=0.5)) == {"CPU": 6, "GPU": 1.5}
    assert slots(config(tmp_path, workers=2), [{"CPU": 5.0}]) == 2
    assert slots(config(tmp_path, workers=4), [{"CPU": 3.0}, {"CPU": 2.0}]) == 1
    assert slots(config(tmp_path, workers=2, cpu=2), [{"CPU": 3.0}, {"CPU": 3.0}]) == 1, (
        "a worker is on one node"
    )


def test_too_many_workers_are_refused(tmp_path):
    with pytest.raises(
        BadInput,
        match=(
            r"one trial asks for 3 workers with 1 CPU each, but CPU \(2 in the cluster\) is enough"
            r" for 2"
        ),
    ):
        slots(config(tmp_path, workers=3), [{"CPU": 2.0}])
    with pytest.raises(
        BadInput,
        match=(
            r"`search.slots` asks for 2 trials at once, but CPU \(3 in the cluster, 2 x 1 per"
            r" trial\)"
            r" is enough for 1"
        ),
    ):
        slots(config(tmp_path, workers=2, slots=2), [{"CPU": 3.0}])

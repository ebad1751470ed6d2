"""Remarks about settings that are valid but probably not intended."""

from mtsearch.config.space import Space
from mtsearch.execution.remarks import remarks
from tests.helpers.spaces import space


def remark(
    tmp_path, at_once=1, nodes=(8.0,), cpu=1.0, workers=1, control=1, scheduler="none", **trial
):
    raw = space(tmp_path, scheduler=scheduler).raw
    controls = {"stl": {"architecture": "stl", "batch_size": 8, "threads": control}}
    made = {
        **raw,
        "workers": workers,
        "resources": {"cpu": cpu},
        "trial": {**raw["trial"], **trial},
        "controls": controls,
    }
    return remarks(Space(made), at_once, [{"CPU": cpus} for cpus in nodes])


def test_population_without_visitors_is_remarked(tmp_path):
    raw = space(tmp_path).raw | {"controls": {}, "delta_m": None}
    sizes = {"choice": [1, 2], "default": 2}
    population = {"name": "mto", "target": "image", "group_size": sizes}
    raw["trial"] = {"architecture": "hps", "population": population}
    (line,) = remarks(Space(raw), 1, [{"CPU": 4}])
    assert "`trial.population.group_size` may be 1" in line


def test_more_threads_than_cores(tmp_path):
    assert (
        not remark(tmp_path, 8, cpu=0.5)
        and not remark(tmp_path, 2, threads=4)
        and not remark(tmp_path, 2, cpu=4, threads=4)
    )
    crowd = (
        "remark     32 threads of concurrent trials share 8 cores; `resources.cpu=4` prevents it"
    )
    assert remark(tmp_path, 8, threads=4) == [crowd]
    assert remark(tmp_path, 4, workers=2, threads=4) == [crowd]
    assert remark(tmp_path, 8, control=4) == [crowd]
    (line,) = remark(tmp_path, 2, nodes=(2.0, 2.0), threads=4)
    assert line.endswith("8 threads of concurrent trials share 4 cores; lower `trial.threads`")


def test_a_scheduler_that_stops_nothing(tmp_path):
    def line(grace, **trial):
        return remark(
            tmp_path, scheduler={"name": "moasha", "grace": grace, "reduction": 2}, **trial
        )

    assert not line(2)
    assert line(3) == [
        "remark     `search.scheduler` stops nothing: its `grace` is 3, and trials make 3 reports"
    ]
    assert "trials make 2 reports" in line(2, report_every=2)[0]


def test_density_as_objective_across_architectures(tmp_path):
    raw = space(tmp_path).raw
    mixed = {"choice": ["hps", "mdmtn"], "default": "hps"}

    def found(architecture, size):
        made = {
            **raw,
            "objectives": ["val/image/error", size],
            "trial": {**raw["trial"], "architecture": architecture},
        }
        return remarks(Space(made), 1, [{"CPU": 8.0}])

    (line,) = found(mixed, "model/density")
    assert "`trial.architecture` is searched; `model/nonzero` or `model/macs` compares" in line
    assert not found("hps", "model/density") and not found(mixed, "model/nonzero")


def test_frozen_trunks_are_remarked(tmp_path):
    frozen = {"backbone": {"name": "cm", "tune": "head"}}
    (line,) = remark(tmp_path, **frozen)
    assert "its features are computed once" in line
    (line,) = remark(tmp_path, **frozen, augment={"flip": True})
    assert "computed in every step because of `trial.augment`" in line
    (line,) = remark(tmp_path, **frozen, architecture="mmoe")
    assert "computed in every step because of `trial.architecture`" in line
    assert not remark(tmp_path, backbone="cm")

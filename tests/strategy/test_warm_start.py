"""`search.earlier`: trials of earlier runs."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.strategy.curves import Curves
from mtsearch.strategy.study import check_search
from mtsearch.strategy.warm_start import read_earlier
from tests.helpers.spaces import space
from tests.strategy.test_curve_resume import Search


@pytest.fixture
def earlier(tmp_path):
    """The folder of a run of nine trials, some of them stopped."""
    one = Search(tmp_path / "earlier")
    one.play()
    one.run.log.close()
    return one


def curves(one):
    found = Curves(one.config.objectives, one.config.constraints)
    read_earlier(one, found)
    return found


def test_earlier_trials_are_read_with_their_curves(tmp_path, earlier):
    later = space(tmp_path, sampler="curves", earlier=[str(earlier.run.path)])
    found = curves(later)
    assert sorted(found.trials) == list(range(-9, 0))
    first = earlier.manager.state.trials["0000"]
    assert found.trials[-1].params == first.study["params"]
    assert {c.state for c in found.trials.values()} == {"done", "stopped"}
    assert {len(c.reports) for c in found.trials.values()} >= {1, 4}


def test_trials_outside_the_space_are_left_out(tmp_path, earlier):
    raw = space(tmp_path, sampler="curves", earlier=[str(earlier.run.path)]).raw
    rates = sorted(t.params["trial.optimizer.lr"] for t in earlier.manager.state.sorted()[:9])
    narrow = {"loguniform": [rates[3], 0.1], "default": 0.1}
    raw["trial"] = raw["trial"] | {"optimizer": {"name": "adam", "lr": narrow}}
    assert len(curves(Space(raw)).trials) == 6


def test_first_proposal_uses_earlier_trials(tmp_path, earlier):
    given = {"earlier": [str(earlier.run.path)]}
    warm = Search(tmp_path / "warm", **given)
    cold = Search(tmp_path / "cold")
    proposals = [one.manager.study.ask().params for one in (warm, cold)]
    assert proposals[0] != proposals[1]
    for one in (warm, cold):
        one.run.log.close()


def test_missing_run_is_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere"):
        check_search(space(tmp_path, sampler="curves", earlier=[str(tmp_path / "nowhere")]))


def test_sampler_without_curves_is_refused(tmp_path):
    with pytest.raises(BadInput, match="earlier"):
        space(tmp_path, sampler="random", earlier=["x"])

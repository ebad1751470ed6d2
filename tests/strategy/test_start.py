"""`search.start`: configurations that are trained first."""

import pytest

from mtsearch.config.errors import BadInput
from mtsearch.strategy.study import check_search
from tests.helpers.spaces import space
from tests.strategy.test_study import StudyRun

FIRST = {"optimizer.lr": 0.02, "batch_size": 4, "preference": {"image": 3, "digit": 1}}
SPARSE = {"trial.sparsity": "target", "sparsity@target.target": 0.7}


@pytest.mark.parametrize("sampler", ["tpe", "curves", "qmc", "random"])
def test_start_configurations_come_first(tmp_path, sampler):
    one = StudyRun(space(tmp_path, sampler=sampler, start=[FIRST, SPARSE]))
    for _ in range(3):
        one.end(one.ask())
    first, second, third = (t.config for t in one.state.sorted())
    assert first["optimizer"]["lr"] == pytest.approx(0.02) and first["batch_size"] == 4
    assert first["preference"]["image"] == pytest.approx(0.75) and first["sparsity"] == "none"
    assert second["sparsity"] == {"mode": "target", "target": 0.7}
    assert second["optimizer"]["lr"] == pytest.approx(1e-3)
    assert third not in (first, second)
    one.run.log.close()


def test_same_start_configuration_is_trained_once(tmp_path):
    one = StudyRun(space(tmp_path, sampler="random", start=[FIRST, FIRST]))
    configs = []
    for _ in range(2):
        configs.append(one.state.trials[one.ask()].config)
    assert configs[0] != configs[1]
    one.run.log.close()


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"optimizer.rate": 1}, "`search.start[0]` has `optimizer.rate`"),
        ({"optimizer.lr": 3}, "`search.start[0].optimizer.lr` should be a number in"),
        ({"batch_size": 9}, "`search.start[0].batch_size` should be one of [1, 2, 3,"),
        ({"preference": {"image": 1}}, "`search.start[0].preference` should give a weight"),
        ({"sparsity": "all"}, "`search.start[0].sparsity` should be one of"),
    ],
)
def test_wrong_start_configurations_are_refused(tmp_path, start, said):
    with pytest.raises(BadInput) as error:
        check_search(space(tmp_path, sampler="random", start=[start]))
    assert said in str(error.value)

"""Several networks of one architecture, each for a group of the tasks."""

import pytest
import torch

from mtsearch.config.cards import TaskCard
from mtsearch.config.dimensions import parse_dimension
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import BackboneMMConfig, DataConfig, HPSConfig, TrialConfig
from mtsearch.deploy.compact import compact
from mtsearch.models import Grouped, build_grouped
from mtsearch.training import Trial

TASKS = [TaskCard(name=name, outputs=3) for name in "abc"]
SHAPE = (1, 28, 28)
DATA = DataConfig(dataset="patches10_digits", limit=120)


def network(groups):
    torch.manual_seed(0)
    return build_grouped(HPSConfig(), BackboneMMConfig(), TASKS, SHAPE, groups)


def test_outputs_are_those_of_the_networks():
    model = network([["c", "a"], ["b"]]).eval()
    assert isinstance(model, Grouped)
    x = torch.randn(4, *SHAPE)
    outputs = model(x)
    assert list(outputs) == ["a", "b", "c"]
    torch.testing.assert_close(outputs["b"], model.networks[1](x)["b"])
    for tasks in (None, ["b"], ["a", "b"]):
        torch.testing.assert_close(
            model.decode(x, model.share(x, tasks), tasks), model(x, tasks), rtol=0, atol=0
        )


def test_groups_share_no_gradient():
    model = network([["a", "c"], ["b"]])
    model(torch.randn(4, *SHAPE))["b"].sum().backward()
    assert all(p.grad is None for p in model.networks[0].parameters())


def test_one_group_is_the_plain_network():
    assert not isinstance(network([["a", "b", "c"]]), Grouped)


@pytest.mark.parametrize("groups", [[["a"], ["b"]], [["a", "b"], ["c", "d"]]])
def test_groups_name_each_task_once(groups):
    with pytest.raises(BadInput, match="should name each task once: a, b, c"):
        network(groups)


def test_compacted_networks_run_all_groups():
    model = network([["a"], ["b", "c"]]).eval()
    with torch.no_grad():
        for name in model.prunable[-1:]:
            model.get_submodule(name).weight[:, ::2] = 0
    small = compact(model, SHAPE).model
    x = torch.randn(3, *SHAPE)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    torch.testing.assert_close(small(x), model(x), rtol=1e-4, atol=1e-4)


def config(**changes):
    base = {"backbone": "cm", "epochs": {"search": 1, "retrain": 1}, "batch_size": 64}
    return TrialConfig.model_validate({**base, **changes})


def test_trials_train_groups_and_continue_bit_identically():
    groups = [["image"], ["digit"]]
    settings = config(groups=groups, sparsity={"mode": "target", "target": 0.5})
    whole = [{k: v for k, v in r.items() if k != "cost/seconds"} for r in Trial(settings, DATA)]
    first = Trial(settings, DATA)
    next(first)
    again = Trial(settings, DATA)
    again.load_state_dict(first.state_dict())
    report = next(again)
    assert {k: v for k, v in report.items() if k != "cost/seconds"} == whole[-1]
    plain = next(Trial(config(), DATA))
    assert whole[0]["model/params"] > 1.5 * plain["model/params"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": [["image"], []]}, "no empty group"),
        ({"groups": [["image"], ["image"]]}, "each task once"),
        ({"groups": [["image"], ["digit"]], "architecture": "kdmtl"}, "kdmtl"),
    ],
)
def test_wrong_groups_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_partitions_are_choices():
    found = parse_dimension("trial.groups", {"partition": ["a", "b", "c"], "default": "apart"})
    assert found.kind == "choice" and len(found.spec) == 5
    assert found.default == [["a"], ["b"], ["c"]] and [["a", "b", "c"]] in found.spec
    blocks = parse_dimension("trial.groups", {"partition": [["a", "b"], "c"]})
    assert blocks.spec == [[["a", "b", "c"]][0:1], [["a", "b"], ["c"]]]
    for size, count in ((4, 15), (5, 52)):
        spec = parse_dimension("trial.groups", {"partition": list("abcde"[:size])}).spec
        assert len(spec) == count


@pytest.mark.parametrize("spec", [["a"], ["a", "a"], "abc", [[], "a"], list("abcdef"), [1, 2]])
def test_wrong_partitions_are_refused(spec):
    with pytest.raises(BadInput, match=r"`trial.groups.partition` should list 2 to 5"):
        parse_dimension("trial.groups", {"partition": spec})


def test_gradient_methods_balance_parameters_of_groups():
    def trial(level):
        return Trial(
            config(groups=[["image"], ["digit"]], balancing={"name": "mgda", "level": level}), DATA
        )

    next(trial("parameter"))
    with pytest.raises(BadInput, match="Use `level: parameter`"):
        trial("feature")

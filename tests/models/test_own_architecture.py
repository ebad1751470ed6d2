"""Networks of the user's own: shared parameters, shared modules, sparse layers, inputs, checks."""

import pytest
import torch
from torch import nn

from mtsearch.config import objects, plugins, schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.data.packing import pack, parts_of, row_shape, unpack
from mtsearch.models import build_model
from mtsearch.testing import TASKS, ArchitectureConformance
from mtsearch.training.checks import check_trial

PAIR = (TaskCard(name="a", outputs=3), TaskCard(name="b", kind="regression", outputs=1))


class Pictures(nn.Module):
    """A trunk and a head per task of `mtsearch.testing`."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ModuleDict({t.name: nn.Conv2d(8, t.outputs, 1) for t in TASKS})

    def forward(self, x):
        features = self.trunk(x.sub_(0.1))
        return {
            t.name: head(features) if t.kind == "segmentation" else head(features).mean((2, 3))
            for t, head in zip(TASKS, self.heads.values(), strict=True)
        }


class Rows(nn.Module):
    """Two linear layers that are shared, and a head per task."""

    def __init__(self, width=8, norm=False):
        super().__init__()
        self.stem = nn.BatchNorm1d(5) if norm else nn.Identity()
        self.trunk = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width))
        self.a, self.b = nn.Linear(width, 3), nn.Linear(width, 1)

    def forward(self, x):
        features = self.trunk(self.stem(x)).relu()
        return {"a": self.a(features), "b": self.b(features)[:, 0]}


def built(module, tasks=PAIR, shape=(5,), **settings):
    key = objects.add_object(module, "test")
    config = schema.OwnConfig(module=key, **settings)
    try:
        return build_model(config, schema.BackboneNoneConfig(), tasks, shape)
    finally:
        objects.remove_object(key)


@pytest.fixture(scope="module", autouse=True)
def pictures():
    objects.add_objects({"object:pictures": Pictures})
    yield
    objects.remove_object("object:pictures")


class TestOwn(ArchitectureConformance):
    settings = schema.OwnConfig(module="object:pictures")
    backbone = schema.BackboneNoneConfig()


class TestOwnWithSharedModule(TestOwn):
    settings = schema.OwnConfig(module="object:pictures", shared=("trunk",))


def test_shared_parameters_are_those_of_several_tasks():
    model = built(Rows)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in model.shared_parameters()} == {
        f"module.trunk.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    assert [names[id(p)] for p in model.task_parameters("b")] == [
        "module.b.weight",
        "module.b.bias",
    ]
    assert model.separate and model.share(torch.zeros(2, 5)) == [] and model.prunable == ()


def test_a_shared_module_gives_features_and_sparse_layers():
    model = built(Rows, shared=("trunk",))
    assert not model.separate and model.prunable == ("module.trunk.2",)
    (features,) = model.share(torch.ones(4, 5))
    torch.testing.assert_close(features, model.module.trunk(torch.ones(4, 5)))
    assert model(torch.ones(4, 5))["b"].shape == (4, 1)
    assert built(Rows, sparse=("trunk", "a")).prunable == (
        "module.trunk.0",
        "module.trunk.2",
        "module.a",
    )


def test_a_module_declares_its_shared_modules():
    class Declared(Rows):
        shared = ("trunk",)

    assert built(Declared).shared == ("trunk",)


def test_an_instance_is_a_start_that_is_copied():
    start = Rows()
    model = built(start)
    torch.testing.assert_close(model.module.state_dict(), start.state_dict())
    assert model.module is not start
    with pytest.raises(BadInput, match=r"`trial.architecture.arguments` needs a function"):
        built(start, arguments={"width": 4})


def test_arguments_reach_the_function():
    assert built(Rows, arguments={"width": 4}).module.a.in_features == 4


@pytest.mark.parametrize(
    ("module", "settings", "sentence"),
    [
        (lambda: nn.Linear(5, 3), {}, "should return a dict of outputs by task. Found Tensor"),
        (lambda: 3, {}, "should return a torch module. Found int"),
        (Rows, {"shared": ("stem", "trunk")}, "`stem` reaches no task, or only through other"),
        (Rows, {"tasks": (*PAIR, TaskCard(name="c", outputs=2))}, "no output for task `c`"),
        (
            Rows,
            {"tasks": (TaskCard(name="a", outputs=4),)},
            r"`a` of the network should have the shape \(B, 4\) .* Found \(2, 3\)",
        ),
        (
            Rows,
            {"tasks": (TaskCard(name="a", kind="depth"),)},
            r"`a` of the network should have the shape \(B, 1, H, W\) of a depth",
        ),
        (Rows, {"shared": ("trunks",)}, "no module of the network: `trunks`. Did you mean `trunk`"),
        (Rows, {"shared": ("trunk", "trunk.0")}, "modules beside each other"),
        (Rows, {"shared": ("heads",)}, "no module"),
        (lambda: Rows(norm=True), {"shared": ("trunk",)}, "`stem` comes before the shared modules"),
        (Rows, {"shared": ("trunk.2",)}, r"`trunk.0.\w+` comes before the shared modules"),
        (Rows, {"sparse": ("trunk.1",)}, "`sparse` should name linear layers"),
    ],
)
def test_modules_that_do_not_fit_are_refused(module, settings, sentence):
    with pytest.raises(BadInput, match=sentence):
        built(module, **settings)


def test_an_object_that_is_not_here_is_asked_for():
    with pytest.raises(BadInput, match=r"Give it again, as `model=` of `mtsearch.resume`"):
        build_model(schema.OwnConfig(module="object:gone"), schema.BackboneNoneConfig(), PAIR, (5,))


def test_functions_are_found_in_loaded_plugins_alone(tmp_path, forget_plugins):
    file = tmp_path / "nets.py"
    file.write_text("from os import system\ndef make(width=3): return width\n")
    with pytest.raises(BadInput, match=r"names no plug-in"):
        plugins.plugin_object("os:system", "module")
    plugins.load_plugins([str(file)])
    assert plugins.plugin_object("nets.py:make", "module")(4) == 4
    for name in ("system", "missing", "make.__globals__"):
        with pytest.raises(BadInput, match=r"names nothing that nets.py defines"):
            plugins.plugin_object(f"nets.py:{name}", "module")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sparsity": {"mode": "target", "target": 0.5}}, "`trial.sparsity` needs layers"),
        (
            {"balancing": {"name": "mgda", "level": "feature"}},
            "every task has its own features. Use `level: parameter`",
        ),
        ({"groups": [["a"], ["b"]]}, "cannot divide a network of your own"),
        ({"init": "lsuv"}, "whose function initialises the network"),
        ({"backbone": "cm"}, "should be none with `architecture: own`"),
    ],
)
def test_settings_that_have_no_effect_are_refused(settings, sentence):
    key = objects.add_object(Rows, "rows")
    tree = {"architecture": {"name": "own", "module": key}, "backbone": "none", **settings}
    card = type("Card", (), {"tasks": PAIR, "shape": (5,), "name": "rows"})
    with pytest.raises(ValueError, match=sentence):
        check_trial(schema.TrialConfig.model_validate(tree), card)
    objects.remove_object(key)


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(4, 3),
        torch.arange(8).view(4, 2),
        (torch.randn(4, 3), torch.randint(0, 9, (4, 2))),
        {"image": torch.randint(0, 255, (4, 3, 2, 2), dtype=torch.uint8), "ok": torch.ones(4) > 0},
    ],
)
def test_inputs_are_the_same_after_packing(x):
    parts = parts_of(x, "x")
    rows = pack(x, parts)
    assert rows.dtype == torch.float32 and rows.shape == (4, *row_shape(x, parts))
    torch.testing.assert_close(unpack(rows, parts), x, rtol=0, atol=0)


def test_inputs_that_rows_cannot_represent_are_refused():
    with pytest.raises(BadInput, match=r"should be of type float32, .* Found torch.float64"):
        parts_of(torch.zeros(2, 3).double(), "x")
    with pytest.raises(BadInput, match=r"should be a tensor"):
        parts_of([torch.zeros(2, 3), "text"], "x")
    big = torch.tensor([[1 << 25]])
    with pytest.raises(BadInput, match=r"whole numbers of at most 16,777,216. Found 33,554,432"):
        pack(big, parts_of(big, "x"))
    with pytest.raises(BadInput, match=r"Give all batches the same form"):
        pack((torch.zeros(2, 3),), parts_of({"a": torch.zeros(2, 3)}, "x"))

"""A network and data loaders of the user's own, trained in this process."""

import copy
import shutil

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import mtsearch
from mtsearch.config.errors import BadInput
from mtsearch.config.objects import add_objects, all_objects, remove_object
from mtsearch.config.schema import DataConfig
from mtsearch.config.space import Space
from mtsearch.config.yaml_text import load_yaml
from mtsearch.jobs.own import OwnParts, own_space
from mtsearch.training import Trial

TASKS = {"price": "regression", "sold": "classification"}
SHORT = {"trial.epochs": {"search": 2, "retrain": 0}, "trial.threads": 1}


class Rows(Dataset):
    def __init__(self, seed, count=60, wrap=None):
        self.x = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
        self.wrap = wrap or (lambda x: x)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        x = self.x[k]
        labels = {"price": x[0] + x[1], "sold": int(x[2] > 0) if k % 7 else -1}
        return self.wrap(x), labels


class Network(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, width))
        self.price, self.sold = nn.Linear(width, 1), nn.Linear(width, 2)

    def forward(self, x):
        features = self.trunk(x).relu()
        return {"price": self.price(features)[:, 0], "sold": self.sold(features)}


class Words(Network):
    """Reads a dict of numbers and a word."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(3, 6)

    def forward(self, x):
        return super().forward(x["numbers"] + self.words(x["word"]))


def with_word(x):
    return {"numbers": x, "word": torch.tensor(int(x[3] > 0) + 1)}


def loaders(wrap=None, seed=0):
    return {
        name: DataLoader(Rows(seed + k, wrap=wrap), 20, shuffle=name == "train")
        for k, name in enumerate(("train", "val", "test"))
    }


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MTSEARCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    before = all_objects()
    yield
    for key in set(all_objects()) - set(before):
        remove_object(key)


def trained(**others):
    given = {"model": Network, "data": loaders(), "tasks": TASKS, "space": SHORT, "test": True}
    return mtsearch.train_one(**(given | others), progress=False)


def rows(run):
    kept = [k for k in run.trials.columns if k.startswith(("val/", "test/", "model/"))]
    return [{key: row.get(key) for key in kept} for row in run.trials]


def test_a_training_is_tested_loaded_and_exported(tmp_path):
    run = trained(shared=["trunk"], overrides={"trial.balancing": {"name": "upgrad"}})
    (row,) = run.trials
    assert row["state"] == "done" and row["test/price/error"] > 0 and row["test/sold/error"] > 0
    model, x = run.pick().load(), Rows(9, 3).x
    found = model.predict(x)
    outputs = model.network.module(x)
    assert [f["price"].value for f in found] == pytest.approx(outputs["price"].tolist())
    program = torch.export.load(run.pick().export("out") / "model.pt2").module()
    torch.testing.assert_close(program(x)["sold"], outputs["sold"])
    with pytest.raises(BadInput, match=r"should be a batch of inputs of float32 \(6,\)"):
        model.predict(torch.zeros(2, 5))


@pytest.mark.parametrize(
    "settings",
    [
        {"pareto_set": {"name": "weights_line", "points": 3, "statistics": 1}},
        {"pareto_set": {"name": "low_rank", "points": 3, "statistics": 1}},
        {"sparsity": {"mode": "target", "target": 0.5}},
        {"task_schedule": "round_robin", "ema": 0.9, "balancing": "linear"},
        {"balancing": {"name": "mgda", "level": "feature"}, "lr_multipliers": {"price": 0}},
        {"balancing": {"name": "upgrad", "level": "parameter"}, "precision": "bfloat16"},
    ],
    ids=["line", "low_rank", "sparse", "round_robin", "feature", "parameter"],
)
def test_settings_of_training_work(settings):
    space = {**SHORT, "trial.balancing": "linear"}
    space |= {f"trial.{key}": value for key, value in settings.items()}
    run = trained(shared=["trunk"], space=space)
    assert {row["state"] for row in run.trials} == {"done"}
    assert all(row["test/price/error"] > 0 for row in run.trials)
    run.pick("preference", price=0.5, sold=0.5) if "pareto_set" in settings else run.pick().load()


def test_equal_seeds_give_equal_rows():
    assert rows(trained()) == rows(trained()) != rows(trained(overrides={"trial.seed": 1}))


def test_the_first_step_is_that_of_plain_torch():
    """One epoch with one batch, against the same steps by hand."""
    data = {name: DataLoader(Rows(k, 20), 20) for k, name in enumerate(("train", "val", "test"))}
    space = {"trial.epochs": {"search": 1, "retrain": 0}, "trial.balancing": "linear"}
    space |= {"trial.optimizer": {"name": "sgd", "lr": 0.1}}
    torch.manual_seed(5)
    start = Network()
    run = trained(model=start, data=data, space=space)
    plain, (x, y) = copy.deepcopy(start), next(iter(data["train"]))
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    outputs = plain(x)
    losses = (
        nn.functional.mse_loss(outputs["price"], y["price"].float()),
        nn.functional.cross_entropy(outputs["sold"], y["sold"], ignore_index=-1),
    )
    (sum(losses) / 2).backward()
    optimizer.step()
    found = run.pick().load().network.module
    torch.testing.assert_close(found.state_dict(), plain.state_dict())


def test_a_restored_trial_continues_with_equal_reports(tmp_path):
    space = {**SHORT, "trial.epochs": {"search": 3, "retrain": 0}}
    tree = load_yaml(own_space(OwnParts(Network, loaders(), TASKS), space), "space")
    config, data = Space(tree).trial(), DataConfig(dataset=tree["data"]["dataset"])
    whole = list(Trial(config, data))
    first = Trial(config, data)
    next(first)
    again = Trial(config, data)
    again.load_state_dict(first.state_dict())
    timed = {"cost/seconds"}
    for one, two in zip(whole[1:], again, strict=True):
        assert {k: v for k, v in one.items() if k not in timed} == {
            k: v for k, v in two.items() if k not in timed
        }


@pytest.mark.parametrize("wrap", [with_word, lambda x: tuple(with_word(x).values())])
def test_inputs_of_several_tensors(wrap):
    class Pairs(Words):
        def forward(self, x):
            return super().forward(x if isinstance(x, dict) else {"numbers": x[0], "word": x[1]})

    run = trained(model=Pairs, data=loaders(wrap))
    model, x = run.pick().load(), next(iter(loaders(wrap)["val"]))[0]
    found = model.predict(x)
    expected = model.network.module(x)["price"].tolist()
    assert [f["price"].value for f in found] == pytest.approx(expected)
    run.pick().export("out")


def test_a_single_task_is_searched_for_its_metric():
    class One(Network):
        def forward(self, x):
            return {"price": super().forward(x)["price"]}

    run = trained(model=One, tasks={"price": {"kind": "regression", "loss": "l1", "metric": "mae"}})
    assert [o.metric for o in run.config.objectives] == ["val/price/mae"]
    assert run.trials[0]["test/price/loss"] == pytest.approx(run.trials[0]["test/price/mae"])


def test_functions_are_named_as_plugins(tmp_path, forget_plugins):
    (tmp_path / "nets.py").write_text(
        "from tests.jobs.test_own import Network, loaders as make\n"
        "def build(width=4): return Network(width)\n"
        "def data(): return make()\n"
    )
    space = {**SHORT, "trial.architecture.arguments": {"width": {"choice": [4, 6], "default": 6}}}
    run = trained(model="nets.py:build", data="nets.py:data", space=space)
    assert run.pick().load().network.module.price.in_features == 6
    assert run.config.plugins == (str(tmp_path / "nets.py"),)


def test_a_data_card_goes_with_a_network():
    class Pictures(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(28 * 28, 10), nn.Linear(28 * 28, 10)

        def forward(self, x):
            return {"left": self.left(x.flatten(1)), "right": self.right(x.flatten(1))}

    run = trained(
        model=Pictures, data="multidigits", tasks=None, overrides={"data.limit": 100}, test=False
    )
    assert run.trials[0]["state"] == "done" and run.trials[0]["val/left/error"] < 100


def test_what_a_run_does_not_keep_is_asked_for():
    run = trained()
    key = run.config.trial["architecture"]["module"]
    card = run.config.data.dataset
    remove_object(key)
    with pytest.raises(BadInput, match=r"Give it again, as `model=` of `mtsearch.resume`"):
        mtsearch.load_run(run.address).pick().load()
    assert mtsearch.load_run(run.address, model=Network).pick().load()
    shutil.rmtree(card.removesuffix("/card.yaml"))
    with pytest.raises(BadInput, match="are not those that the run was made on"):
        mtsearch.resume(run, data=loaders(seed=5), tasks=TASKS, progress=False)
    again = mtsearch.resume(run, data=loaders(), tasks=TASKS, progress=False)
    assert rows(again) == rows(run)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"data": None}, "`data` is missing beside `model`"),
        ({"model": None}, "`data` goes with `model`"),
        ({"model": None, "data": None, "tasks": None}, "a mapping goes with `model`"),
        ({"model": 3}, "should be a function that returns a torch module"),
        ({"model": "Network"}, "FILE.py:FUNCTION or package.module:FUNCTION. Found 'Network'"),
        ({"tasks": None}, "`tasks` should map each task to its kind"),
        ({"tasks": {"prize": "regression"}}, "no output for task `prize`. Did you mean `price`"),
        ({"tasks": {"price": "regresion"}}, "regresion"),
        ({"tasks": {"price": {"kind": "classification"}}}, "a logit per class, at least 2"),
        ({"tasks": {"sold": {"kind": "classification", "outputs": 3}}}, r"shape \(B, 3\)"),
        ({"data": "multidigits"}, "`tasks` are those of the data card multidigits"),
        ({"model": lambda: nn.Linear(6, 1)}, "should return a dict of outputs by task"),
        ({"model": lambda: Network(8).trunk[1:]}, "cannot read x of the first batch"),
        (
            {"overrides": {"trial.augment": {"flip": True}}},
            "`trial.augment` moves and lights images",
        ),
        ({"overrides": {"trial.backbone": "cm"}}, "should be none with `architecture: own`"),
        ({"space": "no_such_space"}, "unknown space `no_such_space`"),
        ({"shared": ["trunks"]}, "names no module of the network: `trunks`"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_a_run(given, sentence, tmp_path):
    with pytest.raises(BadInput, match=sentence):
        trained(**given)
    assert not (tmp_path / "results").exists()


def test_objects_of_one_name_are_told_apart():
    from mtsearch.config.objects import add_object, object_of

    first, second = add_object(Network, "same"), add_object(Rows, "same")
    assert first == add_object(Network, "same") != second and object_of(second) is Rows
    add_objects({first: Rows})
    assert object_of(first) is Rows


class Dear(Rows):
    """Prices of about 40,000."""

    def __getitem__(self, k):
        x, labels = super().__getitem__(k)
        return x, {**labels, "price": 40000 + 8000 * labels["price"]}


class Scaled(Network):
    def forward(self, x):
        outputs = super().forward(x)
        return {**outputs, "price": 40000 + 8000 * outputs["price"]}


def test_large_labels_need_scaled_outputs(caplog):
    data = {name: DataLoader(Dear(k), 20) for k, name in enumerate(("train", "val", "test"))}
    own_space(OwnParts(Network, data, TASKS, ("trunk",)), SHORT)
    assert "The labels of `price` have a mean of" in caplog.text
    assert "`sold`" not in caplog.text
    caplog.clear()
    scale = {"target_mean": [40000], "target_std": [8000]}
    tasks = {**TASKS, "price": {"kind": "regression", **scale}}
    run = mtsearch.train_one(model=Scaled, data=data, tasks=tasks, shared=["trunk"], space=SHORT)
    assert "have a mean of" not in caplog.text
    plain = {name: DataLoader(Rows(k), 20) for k, name in enumerate(("train", "val", "test"))}
    same = mtsearch.train_one(model=Network, data=plain, tasks=TASKS, shared=["trunk"], space=SHORT)
    large, small = run.trials[0], same.trials[0]
    assert large["val/price/loss"] == pytest.approx(small["val/price/loss"], rel=1e-3)
    assert large["val/price/error"] == pytest.approx(8000 * small["val/price/error"], rel=1e-3)

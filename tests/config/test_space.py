"""Spaces: merging, dimensions, and one clear sentence for every mistake."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.config.dimensions import break_points, stick_breaking
from mtsearch.config.errors import BadInput
from mtsearch.config.listing import SEARCH, resolved
from mtsearch.config.preferences import preference_list, task_preferences
from mtsearch.config.reading import list_spaces, load_space, read_space
from mtsearch.config.schema import HPSConfig, TargetSparsityConfig
from mtsearch.config.search import Search
from mtsearch.config.space import Space, merge


class LowBounds:
    """A sampler that always takes the first option and the low end."""

    def categorical(self, name, choices):
        return choices[0]

    def uniform(self, name, low, high, log=False):
        return low

    def integer(self, name, low, high):
        return low


@pytest.mark.parametrize("name", sorted(list_spaces()))
def test_every_shipped_space_and_profile_is_valid(name):
    space = load_space(name)
    assert space.config.name == name and space.config.description
    assert load_space(name, profile="quick").config.search.trials <= space.config.search.trials
    assert Space.from_yaml(space.to_yaml()).raw == space.raw


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "trial.optimizer.lrr=1",
            "unknown key `trial.optimizer.lrr`. Did you mean `trial.optimizer.lr`?",
        ),
        (
            "trial.architectur=hps",
            "unknown key `trial.architectur`. Did you mean `trial.architecture`?",
        ),
        ("search.trals=3", "unknown key `search.trals`. Did you mean `search.trials`?"),
        ("sparsity=none", "unknown key `sparsity`. Did you mean `trial.sparsity`?"),
        ("search.trials=0", "`search.trials` should be greater than 0. Found 0."),
        (
            "trial.balancing=lineer",
            "`trial.balancing` is unknown: 'lineer'. Did you mean `linear`?",
        ),
        ("trial.optimizer.lr=-1", "`trial.optimizer.lr` should be greater than 0. Found -1."),
        (
            "trial.optimizer.lr={loguniform: [0, 1], default: 0.1}",
            "`trial.optimizer.lr.loguniform` should start above 0. Found [0, 1].",
        ),
        (
            "trial.batch_size={int: [8, 4], default: 8}",
            "`trial.batch_size.int` should rise from low to high. Found [8, 4].",
        ),
        (
            "trial.batch_size={int: [8, 16]}",
            "`trial.batch_size` is a search dimension without `default`.",
        ),
        (
            "trial.optimizer.lr={logunifrom: [0.0001, 0.01]}",
            (
                "`trial.optimizer.lr` is a search dimension with an unknown key `logunifrom`. Did"
                " you mean `loguniform`?"
            ),
        ),
        (
            "trial.batch_size={choice: [8, 16], default: 9}",
            "`trial.batch_size.default` should be one of [8, 16]. Found 9.",
        ),
        (
            "trial.architecture.mixing=static",
            (
                "`trial.architecture` is a search dimension, so `trial.architecture.mixing` cannot"
                " be set alone."
            ),
        ),
        (
            "search.seed={int: [0, 3], default: 1}",
            "`search.seed` cannot be searched: only keys below `trial` can.",
        ),
        (
            "trial.preference={image: 0.5, digit: 0.6}",
            (
                "`trial.preference` should sum to 1. Found {'image': 0.5, 'digit': 0.6}, which sums"
                " to 1.1"
            ),
        ),
        (
            "trial.epochs.search=0",
            "with `sparsity.mode = target` should have `epochs.search` of at least 1. Found 0.",
        ),
        ("a..b=3", "`a..b` is not a key path."),
        ("objectives=[]", "`objectives` should name at least one metric."),
        ("search.sampler=tpee", "`search.sampler.name` is unknown: 'tpee'. Did you mean `tpe`?"),
        (
            "trial.precision=half",
            "`trial.precision` is unknown: 'half'. Known here: `bfloat16`, `float32`.",
        ),
        ("resources.gpu=all", "`resources.gpu` should be a number or `auto`. Found 'all'."),
        ("trial.epochs=3", "`trial.epochs` should be a mapping of keys to values. Found 3."),
        (
            "constraints=[model/density]",
            "`constraints[0]` should be a mapping of keys to values. Found 'model/density'.",
        ),
        (
            "trial.optimizer.lr={lognuiform: [0.001, 0.1], default: 0.01}",
            (
                "`trial.optimizer.lr` is a search dimension with an unknown key `lognuiform`. Did"
                " you mean `loguniform`?"
            ),
        ),
        (
            "trial.optimizer.lr={uniform: [0.001, 0.1], default: 0.01, log: true}",
            "`trial.optimizer.lr` is a search dimension with an unknown key `log`.",
        ),
        (
            "trial.task_schedule={name: coin, probabilities: {image: 1.5, digit: 0.5}}",
            (
                "`trial.task_schedule.probabilities.image` should be less than or equal to 1. Found"
                " 1.5."
            ),
        ),
        (
            "trial.task_schedule={name: coin, probabilities: 1.5}",
            "`trial.task_schedule.probabilities` should be less than or equal to 1.",
        ),
        (
            "trial.task_schedule={name: coin, probabilities: half}",
            (
                "`trial.task_schedule.probabilities` should be a number or a mapping of keys to"
                " values. Found 'half'."
            ),
        ),
        (
            "trial.task_schedule={name: coin, probabilities: {1: 0.5}}",
            "`trial.task_schedule.probabilities` should have text as its keys. Found 1, which",
        ),
        (
            "trial.architecture={name: kdmtl, weight: {image: -1}}",
            "`trial.architecture.weight.image` should be greater than or equal to 0.",
        ),
        (
            "trial.lr_multipliers={trunk: abc}",
            "`trial.lr_multipliers.trunk` should be a number. Found 'abc'.",
        ),
        (
            "trial.optimizer.betas=[0.9]",
            "`trial.optimizer.betas[1]` is missing. The list should be longer.",
        ),
        (
            "trial.optimizer.betas=[0.9, 0.9, 0.9]",
            "`trial.optimizer.betas` should contain at most 2 entries. Found [0.9, 0.9, 0.9].",
        ),
        (
            "trial.optimizer=null",
            "`trial.optimizer` should be a name or a mapping with `name`. Found null.",
        ),
        (
            "trial.optimizer={name: [adam]}",
            "`trial.optimizer.name` should be a name. Found ['adam'].",
        ),
        (
            "trial.backbone={name: edsr, scale: 3}",
            "`trial.backbone.scale` should be 1, 2, 4 or 8. Found 3.",
        ),
        ("trial.backbone=torchvision", "`trial.backbone.model` is missing. Set it."),
        (
            "trial.population={name: mto, formulation: los}",
            "`trial.population.formulation` is unknown: 'los'. Did you mean `loss`?",
        ),
        (
            "trial.batch_size={image:32}",
            (
                "the value of `trial.batch_size` lacks a space after a colon: '{image:32}'. Write"
                " `image: 32`."
            ),
        ),
        (
            "trial.seed=${trial.sed}",
            (
                "`trial.seed` cannot be resolved in pareto_cm: there is no key `trial.sed`. Did you"
                " mean `trial.seed`?"
            ),
        ),
        (
            'trial.preference="${preferences:0.5,image,digit}"',
            (
                "`trial.preference` cannot be resolved in pareto_cm: Parameter `k0` should be one"
                " of 0, 0.1"
            ),
        ),
        (
            "trial.batch_size=2.5",
            (
                "`trial.batch_size` should be a whole number or a mapping of keys to values. Found"
                " 2.5."
            ),
        ),
        ("trial.batch_size=true", "`trial.batch_size` should be a number. Found true."),
        ("trial.optimizer.lr=.inf", "`trial.optimizer.lr` should be a finite number. Found inf."),
        (
            "trial.augment={flip: maybe}",
            "`trial.augment.flip` should be true or false. Found 'maybe'.",
        ),
        (
            "results=DIR",
            (
                "`results` should be a mapping of keys to values. Found 'DIR'. Known here:"
                " `results.root`, `results.run`,"
            ),
        ),
        ("trial.epochs=3", "Found 3. Known here: `trial.epochs.retrain`, `trial.epochs.search`."),
        (
            "trial.optimizer.weight_decay={uniform: [-1, 1], default: 0}",
            "Found -1 (as drawn from `trial.optimizer.weight_decay`).",
        ),
        (
            "trial.balancing=mgda",
            (
                "`trial.preference` is searched, but may be combined with `trial.balancing` mgda,"
                " which takes no preference. Leave the preference out with `trial.preference=null`,"
                " or remove mgda from `trial.balancing`."
            ),
        ),
        (
            "controls.stl.balancing=mgda",
            (
                "`controls.stl.balancing` should be a loss method, such as linear, with"
                " `architecture: stl`, which shares nothing. Found mgda. Fix the control, or leave"
                " it out with `controls.stl=null delta_m=null`."
            ),
        ),
        (
            "controls.plain.preference={image: 0.4, digit: 0.4}",
            "which sums to 0.8. Fix the control, or leave it out with `controls.plain=null`.",
        ),
        (
            "controls.plain={preference: {image: 0.4, digit: 0.6}, balancing: dwa}",
            (
                "`controls.plain.preference` should be equal or left out with `balancing: dwa`,"
                " which takes no preference. Found {'image': 0.4, 'digit': 0.6}."
            ),
        ),
    ],
)
def test_mistakes_get_one_sentence_with_the_key(override, sentence):
    with pytest.raises(BadInput) as caught:
        load_space("pareto_cm", [override])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value) and "constrained" not in str(caught.value)


def test_a_preference_for_an_unknown_task_is_refused():
    from mtsearch.data import load_card

    space = load_space("pareto_cm", ["trial.preference={image: 0.7, digits: 0.3}"])
    assert space.controls["stl"]["preference"] == {"image": 0.5, "digit": 0.5}
    with pytest.raises(
        BadInput,
        match=(
            r"`trial.preference` should give a weight to each task of .*: image, digit\. Found"
            r" image, digits"
        ),
    ):
        space.check(load_card("cifar10_mnist"))


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(BadInput, match=r"unknown space `pareto_c`. Did you mean `pareto_cm`?"):
        load_space("pareto_c")


def test_overrides_take_numbers_lists_and_shorthands():
    space = load_space(
        "pareto_cm",
        [
            "trial.optimizer.lr=1e-4",
            "trial.architecture=hps",
            "trial.sparsity={mode: target, target: 0.3}",
        ],
    )
    trial = space.trial()
    assert trial.optimizer.lr == 1e-4
    assert trial.architecture == HPSConfig()
    assert trial.sparsity == TargetSparsityConfig(target=0.3)


def test_another_method_name_replaces_the_old_settings():
    merged = merge({"optimizer": {"name": "sgd", "momentum": 0.5}}, {"optimizer": {"name": "adam"}})
    assert merged == {"optimizer": {"name": "adam"}}
    assert merge({"optimizer": "adam"}, {"optimizer": {"lr": 1}}) == {
        "optimizer": {"name": "adam", "lr": 1}
    }


def test_a_choice_may_carry_dimensions_of_its_own():
    space = load_space(
        "pareto_cm",
        [
            "trial.sparsity={choice: [{mode: target, target: {uniform: [0.1, 0.9], default: 0.5}},"
            " none], default: none}"
        ],
    )
    names = [d.path for d in space.dimensions]
    assert "trial.sparsity" in names and "trial.sparsity@target.target" in names
    tree, params = space.sample(LowBounds())
    assert params["trial.sparsity"] == "target" and params["trial.sparsity@target.target"] == 0.1
    assert space.trial(tree).sparsity == TargetSparsityConfig(target=0.1)
    assert space.trial().sparsity.mode == "none"


def test_every_option_and_bound_is_validated():
    with pytest.raises(BadInput, match=r"drawn from `trial.seed`"):
        load_space("pareto_cm", ["trial.seed={choice: [0, -1], default: 0}"])


def test_a_setting_beside_a_named_sampler_keeps_its_name():
    assert load_space("sparsity_cm").config.search.sampler.name == "grid"
    sampler = load_space(
        "pareto_cm", ["search.sampler=nsga2", "search.sampler.startup=20"]
    ).config.search.sampler
    assert (sampler.name, sampler.startup) == ("nsga2", 20)
    with pytest.raises(BadInput, match="does not use `startup`"):
        load_space("sparsity_cm", ["search.sampler.startup=5"])


def test_an_option_without_a_name_may_carry_dimensions():
    augment = (
        "trial.augment={choice: [{rotation: {uniform: [0.5, 10.0], default: 1.5}}, {flip: true}],"
        " default: {flip: true}}"
    )
    space = load_space("pareto_cm", [augment])
    (inner,) = [d for d in space.dimensions if d.kind == "uniform" and "rotation" in d.path]
    assert inner.spec == [0.5, 10.0]
    with pytest.raises(BadInput, match="should be less than or equal to 180"):
        load_space("pareto_cm", [augment.replace("10.0", "1000.0")])


@pytest.mark.parametrize("value", ["none", "[a]", "3"])
def test_controls_should_be_a_mapping(value):
    with pytest.raises(BadInput, match="`controls` should map names"):
        load_space("pareto_cm", [f"controls={value}"])


@pytest.mark.parametrize(
    ("profiles", "found"), [("3", "`profiles` of own"), ("{quick: [1]}", "`profiles.quick` of own")]
)
def test_profiles_should_be_mappings(tmp_path, profiles, found):
    (tmp_path / "own.yaml").write_text(
        f"data: {{dataset: cifar10_mnist}}\nobjectives: [val/image/error]\nprofiles: {profiles}\n"
    )
    with pytest.raises(BadInput, match=f"{found} should map keys to values"):
        load_space(str(tmp_path / "own.yaml"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_stick_breaking_stays_on_the_simplex(cuts):
    pieces = stick_breaking(cuts)
    assert len(pieces) == len(cuts) + 1
    assert min(pieces) >= 0
    assert abs(sum(pieces) - 1) < 1e-9


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6))
def test_stick_breaking_is_inverted_by_break_points(cuts):
    assert break_points(stick_breaking(cuts)) == pytest.approx(cuts, abs=1e-6)


@pytest.mark.parametrize(
    ("k0", "count"), [(0, 19), (0.1, 17), (0.01, 18), (0.001, 18), (0.0001, 18)]
)
def test_preference_lists_have_the_published_sizes_and_symmetry(k0, count):
    """Invariant 22 of the MDMTN specification."""
    vectors = preference_list(k0)
    assert len(vectors) == len(set(vectors)) == count
    assert all(abs(sum(v) - 1) < 1e-9 and v[0] == k0 for v in vectors)
    rounded = {tuple(round(x, 9) for x in v) for v in vectors}
    assert rounded == {(a, c, b) for a, b, c in rounded}
    assert all(abs(sum(p.values()) - 1) < 1e-12 for p in task_preferences(k0, "a", "b"))


@pytest.mark.parametrize(
    "name", ["2026_01_01", "0012", "1.10", "7", "1e3", "0x10", "true", "no", "2026-01-01"]
)
@pytest.mark.parametrize("key", ["run", "root"])
def test_a_name_is_taken_as_typed(key, name):
    space = load_space("pareto_cm", [f"results.{key}={name}"])
    assert getattr(space.config.results, key) == name
    assert getattr(Space.from_yaml(space.to_yaml()).config.results, key) == name
    assert getattr(load_space("pareto_cm", [f"results.{key}='{name}'"]).config.results, key) == name


def test_invalid_folder_names_are_refused():
    with pytest.raises(
        BadInput, match=r"`results.run` should be a folder name .* Found '12:30:00'"
    ):
        load_space("pareto_cm", ["results.run=12:30:00"])
    assert load_space("pareto_cm", ["results.run=null"]).config.results.run is None


def test_names_and_paths_are_taken_as_typed():
    words = [
        "name=0012",
        "data.dataset=0012",
        "data.root=1_0",
        "delta_m=010",
        "controls.010.seed=1",
        "controls.010.select=012",
    ]
    space = load_space("pareto_cm", [*words, "trial.select=0012"])
    config = space.config
    assert (config.name, config.data.dataset, str(config.data.root), config.delta_m) == (
        "0012",
        "0012",
        "1_0",
        "010",
    )
    assert (
        space.trial().select == "0012"
        and space.controls["010"]["select"] == "012"
        and space.controls["010"]["seed"] == 1
    )
    raw = read_space(
        "pareto_cm",
        ["trial.population=mto", "trial.population.target=0012", "trial.backbone=torchvision"],
    )
    assert raw["trial"]["population"]["target"] == "0012"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "results: {run: 20260101}",
            (
                "`results.run` should be text. Found 20260101, which is what YAML makes of it"
                " without quotes. Put"
            ),
        ),
        ("results: {run: 7}", "`results.run` should be text. Found 7, which"),
        ("name: 0012", "`name` should be text. Found 12, which"),
        ("data: {dataset: 0012}", "`data.dataset` should be text. Found 12, which"),
        (
            "data: {dataset: cifar10_mnist, root: 0012}",
            "`data.root` should be a path. Found 12, which",
        ),
        ("controls: {0012: {seed: 1}}", "`controls` should have text as its keys. Found 12, which"),
        ("trial: {select: true}", "`trial.select` should be text. Found true, which"),
        (
            "profiles: {0012: {workers: 1}}",
            "`profiles` of own should have text as its keys. Found 12, which",
        ),
    ],
)
def test_an_unquoted_number_for_a_text_key_is_refused(tmp_path, line, sentence):
    lines = {
        "data": "data: {dataset: cifar10_mnist}",
        "objectives": "objectives: [val/image/error]",
        line.partition(":")[0]: line,
    }
    (tmp_path / "own.yaml").write_text("\n".join(lines.values()))
    with pytest.raises(BadInput) as caught:
        load_space(str(tmp_path / "own.yaml"))
    assert sentence in str(caught.value)


def test_an_empty_mapping_replaces_what_was_there(tmp_path):
    text = (
        "data: {dataset: cifar10_mnist}\nobjectives: [val/image/error]\ndelta_m: null\ncontrols:"
        " {a: {augment: {}, lr_multipliers: {}}, b: {}}\nprofiles: {bare: {controls: {}, trial:"
        " {augment: {}}}, same: {}}\ntrial: {augment: {flip: true}, lr_multipliers: {trunk: 0.5},"
        " seed: 3, optimizer: {choice: [adam, sgd], default: adam}}\n"
    )
    path = str(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text(text)
    space = load_space(path, profile="same")
    assert space.trial().augment.flip and not space.trial(space.controls["a"]).augment.flip
    assert (
        not space.trial(space.controls["a"]).lr_multipliers
        and space.controls["b"] == space.defaults
    )
    bare = load_space(path, profile="bare")
    assert not bare.controls and not bare.trial().augment.flip and bare.trial().seed == 3
    assert not load_space(path, ["controls={}"]).controls
    assert load_space(path, ["controls.a={}"]).controls["a"] == space.defaults
    assert not load_space(path, ["trial.augment={}"]).trial().augment.flip
    assert not load_space(path, ["trial.lr_multipliers={}"]).trial().lr_multipliers
    with pytest.raises(BadInput, match=r"`trial.optimizer` should have a `name`. Found none"):
        load_space(path, ["trial.optimizer={}"])
    shown = Space.from_yaml(resolved(load_space(path, ["trial.augment={}"])))
    assert shown.defaults["augment"]["flip"] is False


@pytest.mark.parametrize("option", ["{name: sgd, momentum: 0.5}", "sgd"])
def test_the_default_of_a_choice_is_an_option(option):
    choice = f"trial.optimizer={{choice: [{option}, adam], default: "
    for default in ("sgd", "{name: sgd}", option):
        assert load_space("pareto_cm", [f"{choice}{default}}}"]).trial().optimizer.name == "sgd"
    with pytest.raises(
        BadInput,
        match=(
            r"`trial.optimizer.default` should be an option as it is, or its name alone: .*"
            r" `default: sgd`"
        ),
    ):
        load_space("pareto_cm", [f"{choice}{{name: sgd, momentum: 0.9}}}}"])


def test_the_listing_names_every_sampler_and_scheduler():
    search = Search.model_fields
    found = {
        name: get_args(search[name].annotation.model_fields["name"].annotation)
        for name in ("sampler", "scheduler")
    }
    assert {f"search.{name}": names for name, names in found.items()} == {
        where: tuple(entries) for where, entries in SEARCH.items()
    }


def test_validated_trees_are_kept_up_to_a_bound():
    """A search validates thousands of trees, whose configurations must not pile up."""
    from mtsearch.config import space as module

    space = load_space("pareto_cm")
    for seed in range(module._CACHED + 50):
        assert space.trial({**space.defaults, "seed": seed}).seed == seed
    assert len(space._trials) <= module._CACHED

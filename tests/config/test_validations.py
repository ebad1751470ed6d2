"""Equal configurations are validated once."""

import pytest

from mtsearch.config import space as space_module
from mtsearch.config.reading import list_spaces, load_space
from mtsearch.config.trial import TrialConfig
from mtsearch.jobs.checks import variants


@pytest.fixture
def validated(monkeypatch):
    trees = []
    validate = space_module.validate_tree

    def count(model, tree, *rest):
        if model is TrialConfig:
            trees.append(repr(tree))
        return validate(model, tree, *rest)

    monkeypatch.setattr(space_module, "validate_tree", count)
    return trees


@pytest.mark.parametrize("name", sorted(list_spaces()))
def test_equal_trees_are_validated_once(name, validated):
    found = list(variants(load_space(name)))
    assert len(validated) == len(set(validated)) <= len(found)


def test_validations_of_pareto_cm(validated):
    space = load_space("pareto_cm")
    assert len(validated) == LOAD
    assert len(list(variants(space))) == VARIANTS and len(validated) == ALL
    space.trial()
    assert len(validated) == ALL


LOAD, VARIANTS, ALL = 22, 117, 58  # of these 4: the bounds that two controls search


def test_trees_that_differ_in_type_are_told_apart():
    space = load_space("pareto_cm")
    assert space.trial({"seed": 1}) is space.trial({"seed": 1})
    with pytest.raises(ValueError, match="should be a number"):
        space.trial({"seed": True})

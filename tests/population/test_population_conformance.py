"""Every registered formulation passes the public suite."""

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.registry import methods
from mtsearch.testing import FormulationConformance

LOSSES = {"settings": schema.LossFormulationConfig(losses=("cross_entropy",))}
# attributes of the suite, for formulations that need others than the defaults or several settings
SPECIAL: dict[str, list[dict]] = {
    "class_subset": [{"settings": schema.ClassSubsetFormulationConfig(classes=2)}],
    "dataset": [],  # opens datasets by name: its tests are in test_rounds.py
    "kfold": [{}, {"settings": schema.KFoldFormulationConfig(folds=4, train="fold")}],
    "loss": [LOSSES] if "loss" in TaskCard.model_fields else [],
    "optimizer": [{"population": {"optimiser_state": "reset"}}],
}

for _name, _settings in methods("formulation").items():
    if _settings.__module__.startswith("mtsearch."):
        for _number, _entry in enumerate(SPECIAL.get(_name, [{}])):
            _attributes = {
                "settings": _entry["settings"] if "settings" in _entry else _settings(),
                **_entry,
            }
            globals()[f"Test_{_name}_{_number}"] = type(
                "FormulationConformance", (FormulationConformance,), _attributes
            )

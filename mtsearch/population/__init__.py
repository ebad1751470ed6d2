"""Populations: networks that train beside each other and take over each other's states (multi-task
optimisation)."""

from mtsearch.population.formulations import Formulation, formulation
from mtsearch.population.opening import (
    check_trial,
    open_trial,
    restore_trial,
    total_epochs_of,
    trial_class_for,
)
from mtsearch.population.population import Population

__all__ = [
    "Formulation",
    "Population",
    "check_trial",
    "formulation",
    "open_trial",
    "restore_trial",
    "total_epochs_of",
    "trial_class_for",
]

"""Settings of the observers: what follows a search beside its run directory and Ray's own
metrics."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from mtsearch.config.base import MethodConfig, Named
from mtsearch.config.registry import method


@method("observer", "tensorboard", "mtsearch.observers.tensorboard:TensorBoard")
class TensorBoardObserverConfig(MethodConfig):
    """Event files in the run directory, `tensorboard/<trial>/`: all metrics of the reports, and a
    table of settings and results."""

    name: Literal["tensorboard"] = "tensorboard"


@method("observer", "mlflow", "mtsearch.observers.mlflow:MLflow")
class MLflowObserverConfig(MethodConfig):
    """An MLflow run for each trial. `uri`: the tracking server (else $MLFLOW_TRACKING_URI, else
    `mlflow.db` in the run directory)."""

    name: Literal["mlflow"] = "mlflow"
    uri: str | None = None
    experiment: str | None = None  # the space's name


@method("observer", "wandb", "mtsearch.observers.wandb:Wandb")
class WandbObserverConfig(MethodConfig):
    """A Weights & Biases run for each trial, a group for each search. `mode: offline` keeps them in
    the run directory for `wandb sync`."""

    name: Literal["wandb"] = "wandb"
    project: str | None = None  # the space's name
    entity: str | None = None
    mode: Literal["online", "offline"] = "online"


def _as_list(value: Any) -> Any:
    """One observer given without a list, as a list of one."""
    return [value] if isinstance(value, str | dict) else value


def _refuse_duplicates(observers: tuple[MethodConfig, ...]) -> tuple[MethodConfig, ...]:
    """Raises ValueError where an observer is named twice."""
    names = [observer.name for observer in observers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"should name each observer once. Found `{name}` {names.count(name)} times"
            )
    return observers


Observers = Annotated[
    tuple[Annotated[MethodConfig, Named("observer")], ...],
    BeforeValidator(_as_list),
    AfterValidator(_refuse_duplicates),
]
"""A field that takes a list of observers, or one alone, each as ``name`` or ``{name: ...,
settings}``."""

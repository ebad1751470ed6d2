"""Settings of populations: networks that train beside each other and take over each other's
states."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mtsearch.config.base import MethodConfig, Named
from mtsearch.config.formulations import HoldoutFormulationConfig
from mtsearch.config.registry import method

REFERENCE: dict[str, Any] = {
    "tasks": 4,
    "group_size": 2,
    "formulation": "holdout",
    "holdout_fraction": 0.1,
    "validation_policy": "independent",
    "eval_transform": "train",
    "interval": 100,
    "donor_rule": "uniform",
    "accept": "strict",
    "merge": "replace",
    "optimiser_state": "copy",
    "stop_scope": "target",
    "patience": 10,
    "final": "target_best",
    "budget": 80_000,
}
"""What the study of Zhang et al. (2020) ran: whole-state transfer, uniform donors, a hold-out per
task, two members a task."""


@method("population", "mto")
class MTOConfig(MethodConfig):
    """Multi-task optimisation: a task's state is tried as the start of another's and kept where it
    wins (Zhang et al. 2020).

    `tasks` T networks are each trained on a formulation of the target; task 0 is the target. After
    every `interval` each task's own member is compared, on the task's hold-out, with its
    `group_size` - 1 visitors, which started the round from other tasks' states. `budget` counts the
    optimiser steps of all members together; without one, each member trains for `trial.epochs`.
    `preset: reference` fills what is not given with the values of the published runs.
    """

    name: Literal["mto"] = "mto"
    preset: Literal["reference"] | None = None
    target: str | None = Field(
        None, description="the task that it is about, where the dataset has several"
    )
    tasks: int = Field(4, ge=1, le=16)
    group_size: int = Field(2, ge=1, description="members a task: its own and its visitors")
    formulation: Annotated[MethodConfig, Named("formulation")] = HoldoutFormulationConfig()
    holdout_fraction: float = Field(
        0.1, ge=0.05, le=0.4, description="of the training images, on which states are judged"
    )
    validation_policy: Literal["independent", "shared", "shared_select"] = "shared"
    eval_transform: Literal["eval", "train"] = "eval"
    interval: int = Field(
        100,
        ge=1,
        description=(
            "length of a round, in optimiser steps of a member unless `interval_unit` says"
            " otherwise"
        ),
    )
    interval_unit: Literal["steps", "epochs"] = Field(
        "steps", description="epochs: passes through the target's training images"
    )
    donor_rule: Literal["uniform", "softmax_score", "round_robin", "all"] = "uniform"
    temperature: float = Field(1.0, gt=0)
    score_decay: float = Field(1.0, ge=0, le=1)
    accept: Literal["strict", "margin", "always", "never", "argmin"] = "strict"
    margin: float = Field(
        0.0, ge=0, description="by how much a visitor's loss must be lower, with `accept: margin`"
    )
    merge: Literal["replace", "lerp", "conv_lerp"] = "replace"
    merge_at: Literal["start", "acceptance"] = Field(
        "start",
        description=(
            "acceptance: visitors start from the donor itself, and a task that takes one stays near"
            " its state before"
        ),
    )
    alpha: float = Field(
        1.0,
        ge=0,
        le=1,
        description=(
            "how far from its own state towards the donor's a visitor starts, or a task goes"
        ),
    )
    layers: str = Field(
        "all",
        description=(
            "what a visitor takes of a donor: all, backbone, head, or a regular expression on names"
        ),
    )
    head_policy: Literal["auto", "keep", "copy"] = "auto"
    optimiser_state: Literal["copy", "reset", "momentum_only"] = "copy"
    freeze_on_foreign_head: bool = False
    stop_scope: Literal["target", "per_task", "none"] = "target"
    patience: int = Field(10, gt=0, description="rounds without a lower hold-out loss")
    final: Literal["target_best", "best_across", "average"] = "target_best"
    pairing: Literal["paired", "independent"] = "paired"
    budget: int | None = Field(None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preset") == "reference":
            return {**REFERENCE, **data}
        return data

    @model_validator(mode="after")
    def _possible(self) -> MTOConfig:
        if self.group_size > self.tasks:
            raise ValueError(
                "should have `group_size` of at most `tasks`, as visitors come from different"
                f" other tasks. Found group_size = {self.group_size}, tasks = {self.tasks}"
            )
        if self.donor_rule == "all" and self.group_size != self.tasks:
            raise ValueError(
                "with `donor_rule = all` should have `group_size` equal to `tasks`. "
                f"Found group_size = {self.group_size}, tasks = {self.tasks}"
            )
        if (
            self.interval_unit == "steps"
            and self.budget is not None
            and self.budget < self.per_round
        ):
            raise ValueError(
                "should have a `budget` of at least one round, tasks x group_size x interval ="
                f" {self.per_round}. Found {self.budget}"
            )
        if self.layers not in ("all", "backbone", "head"):
            try:
                re.compile(self.layers)
            except re.error as error:
                raise ValueError(
                    "should have `layers` of all, backbone, head or a regular expression. Found"
                    f" {error}"
                ) from None
        if self.optimiser_state != "reset" and self.formulation.name == "optimizer":
            raise ValueError(
                "with `formulation = optimizer` should have `optimiser_state = reset`, as one"
                f" optimiser cannot take another's state. Found {self.optimiser_state}"
            )
        if self.final != "target_best" and self.formulation.name in ("class_subset", "dataset"):
            raise ValueError(
                f"with `formulation = {self.formulation.name}` should have `final = target_best`,"
                f" as the tasks' heads differ. Found {self.final}"
            )
        return self

    @model_validator(mode="after")
    def _no_idle_settings(self) -> MTOConfig:
        idle = [
            (
                "temperature",
                self.temperature != 1 and self.donor_rule != "softmax_score",
                "donor_rule = softmax_score",
            ),
            (
                "score_decay",
                self.score_decay != 1 and self.donor_rule != "softmax_score",
                "donor_rule = softmax_score",
            ),
            ("margin", self.margin != 0 and self.accept != "margin", "accept = margin"),
            ("alpha", self.alpha != 1 and self.merge == "replace", "merge = lerp or conv_lerp"),
            (
                "merge_at",
                self.merge_at != "start" and self.merge == "replace",
                "merge = lerp or conv_lerp",
            ),
            (
                "patience",
                self.patience != 10 and self.stop_scope == "none",
                "stop_scope = target or per_task",
            ),
            (
                "freeze_on_foreign_head",
                self.freeze_on_foreign_head
                and self.formulation.name not in ("class_subset", "dataset"),
                "formulation = class_subset or dataset",
            ),
        ]
        for key, found, needed in idle:
            if found:
                raise ValueError(f"does not use `{key}` without `{needed}`. Leave it out")
        if self.head_policy == "copy" and self.formulation.name in ("class_subset", "dataset"):
            raise ValueError(
                f"with `formulation = {self.formulation.name}` cannot have `head_policy = copy`, as"
                " the tasks' heads differ. Use auto"
            )
        if self.layers == "head" and (
            self.head_policy == "keep" or self.formulation.name in ("class_subset", "dataset")
        ):
            raise ValueError(
                "with `layers = head` should let heads be taken. Found labels that differ, or"
                " `head_policy = keep`"
            )
        return self

    @property
    def per_round(self) -> int:
        """Optimiser steps of all members in one round: T x G x K, with K in steps."""
        return self.tasks * self.group_size * self.interval

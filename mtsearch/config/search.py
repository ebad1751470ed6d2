"""The search block of a space: sampler, scheduler, budget, slots."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from mtsearch.config.base import Model
from mtsearch.config.optimisation import Positive


class Sampler(Model):
    """How configurations are proposed."""

    name: Literal["tpe", "nsga2", "nsga3", "gp", "curves", "qmc", "random", "grid"] = "curves"
    startup: int = Field(
        10,
        gt=0,
        description=(
            "random trials before a model is used (tpe, gp, curves); the population of nsga2 and"
            " nsga3"
        ),
    )

    @model_validator(mode="after")
    def _no_idle_settings(self) -> Sampler:
        if self.name in ("qmc", "random", "grid") and self.startup != 10:
            raise ValueError(f"with `name = {self.name}` does not use `startup`. Leave it out")
        return self


class Belief(Model):
    """Where good values of a dimension are expected."""

    around: Any = Field(description="the expected value, or the option of a choice")
    width: Positive | None = Field(
        None,
        description=(
            "how far from it good values may lie, one standard deviation: a factor above 1 for"
            " `loguniform`, a difference for `uniform` and `int`, nothing for a choice"
        ),
    )


def _as_mapping(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Scheduler(Model):
    """Which trials are stopped before their end."""

    name: Literal["none", "moasha", "pareto_asha"] = "none"
    grace: int = Field(3, gt=0, description="the report at which trials are first compared")
    reduction: int = Field(
        2,
        gt=1,
        description=(
            "one of this many trials continues; also the factor between the reports at which trials"
            " are compared"
        ),
    )

    @model_validator(mode="after")
    def _no_idle_settings(self) -> Scheduler:
        fields = type(self).model_fields
        idle = [
            name
            for name in ("grace", "reduction")
            if self.name != "moasha" and getattr(self, name) != fields[name].default
        ]
        if idle:
            raise ValueError(f"with `name = {self.name}` does not use `{idle[0]}`. Leave it out")
        return self


class Plateau(Model):
    """The search ends when the hypervolume hardly grows."""

    window: int = Field(
        20, gt=0, description="the last trials that ended, stopped and failed ones too"
    )
    gain: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="the hypervolume should have grown by more than this share over the window",
    )


class Stop(Model):
    """When a search ends before `search.trials`: at the first of these rules."""

    epochs: int | None = Field(
        None, gt=0, description="epochs that all trials and controls together have trained"
    )
    gpu_hours: Positive | None = Field(
        None, description="hours of training of all trials and controls, times the GPUs of each"
    )
    plateau: Plateau | None = Field(None, description="the hypervolume hardly grows")
    running: Literal["finish", "stop"] = Field(
        "finish",
        description=(
            "whether running trials finish or are stopped at their next report, once a rule has"
            " ended the search"
        ),
    )


class Search(Model):
    """How many trials, which sampler, which scheduler, how many at once."""

    trials: int = Field(16, gt=0)
    repeats: int = Field(
        1, gt=0, le=100, description="seeds with which every configuration is trained"
    )
    confirm: int = Field(
        1,
        gt=0,
        le=100,
        description=(
            "seeds with which the front, the knee and the controls are trained, once the search has"
            " ended"
        ),
    )
    sampler: Annotated[Sampler, BeforeValidator(_as_mapping)] = Sampler()
    scheduler: Annotated[Scheduler, BeforeValidator(_as_mapping)] = Scheduler()
    prior: dict[str, Belief] = Field(
        {},
        description=(
            "by the key of a dimension, where good values are expected, for the sampler `curves`"
        ),
    )
    preference: dict[str, Positive] = Field(
        {},
        description=(
            "by objective, how much it matters to you, for the sampler `curves`: more proposals lie"
            " where the front is good by these weights; an objective that is left out has weight 1"
        ),
    )
    start: tuple[dict[str, Any], ...] = Field(
        (),
        description=(
            "configurations that are trained first: values by the keys of dimensions; the other"
            " dimensions have their defaults. With `start: {trial: ID}`, settings of `trial` that"
            " differ from those of that trial of this run, with whose weights it begins"
        ),
    )
    earlier: tuple[str, ...] = Field(
        (),
        description=(
            "folders of earlier runs whose trials and reports the sampler `curves` reads, where"
            " they have the objectives and fit the space"
        ),
    )
    seed: int = Field(0, ge=0, lt=2**32)
    slots: int | None = Field(None, gt=0)
    budget: Positive | None = Field(None, description="seconds after which no trial starts")
    stop: Stop = Field(
        Stop(), description="rules that end the search before it has `trials` trials"
    )
    max_failures: int = Field(
        3, ge=0, description="times one trial is restarted after its process died"
    )

    @model_validator(mode="after")
    def _no_idle_knowledge(self) -> Search:
        for name, given in (
            ("prior", self.prior),
            ("preference", self.preference),
            ("earlier", self.earlier),
        ):
            if given and self.sampler.name != "curves":
                raise ValueError(
                    f"with `sampler = {self.sampler.name}` does not use `{name}`. Set"
                    " `sampler = curves`"
                )
        return self


class ControlSearch(Model):
    """The search of a control: as many configurations as `trials`, of which the best is the
    control. The first has the control's own settings, the others draw the settings in `over`."""

    trials: int = Field(
        8, gt=1, le=1000, description="configurations, the control's own among them"
    )
    over: tuple[str, ...] = Field(
        min_length=1,
        description=(
            "settings that are drawn, such as optimizer.lr; each is a search dimension of the trial"
            " or of the control"
        ),
    )

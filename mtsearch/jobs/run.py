"""A run from Python: its tables, its front, and the models of its trials."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mtsearch.config.errors import BadInput
from mtsearch.config.schema import SpaceConfig
from mtsearch.config.space import Space
from mtsearch.pareto.choice import choose, task_weights
from mtsearch.pareto.columns import Row, column_order
from mtsearch.pareto.result import SearchResult, search_result
from mtsearch.pareto.trial_names import trial_of
from mtsearch.runs.commands import strip_local_paths
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.object_store import is_url
from mtsearch.runs.opening import open_run

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from mtsearch.deploy.predictor import Predictor
    from mtsearch.population import Population
    from mtsearch.training import Trial


class Table(Sequence[Row]):
    """Rows of a run, each a dict by column. A notebook displays it as a table.

    Args:
        rows: with the same keys or some of them.
        first: columns that come before the others, after the identity.
    """

    def __init__(self, rows: Sequence[Row], first: Sequence[str] = ()) -> None:
        self._rows, self.columns = list(rows), column_order(rows, first)

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with one row per row, in the order of `columns`."""
        import pandas

        return pandas.DataFrame.from_records(self._rows, columns=self.columns)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"Table({len(self)} rows, {len(self.columns)} columns)"

    def _repr_html_(self) -> str:
        return str(self.to_pandas()._repr_html_())


class Run:
    """A search or a single training, complete or not, read from its run directory.

    `mtsearch.search`, `mtsearch.train_one` and `mtsearch.load_run` return one. Its tables are read
    at their first use and then kept; `reload` reads the events again.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    @property
    def address(self) -> str:
        """The run's folder or URL, as ``run=`` and ``resume=`` accept it on the command line."""
        return self.directory.address

    @property
    def space(self) -> Space:
        """The space that was searched, with the settings that resumes changed."""
        return self.directory.space

    @property
    def config(self) -> SpaceConfig:
        """The validated configuration of the space."""
        return self.directory.config

    def reload(self) -> Run:
        """The same run, read again with the events written since. Raises BadInput where a run in an
        object store cannot be read."""
        if not is_url(self.address):
            return Run(self.directory)
        return Run(open_run(self.address, self.directory.plugins))

    # ------------------------------------------------------------ tables

    @cached_property
    def _result(self) -> SearchResult:
        config, environment = self.config, self.directory.environment
        return search_result(
            self.directory.rows(),
            self.directory.history(),
            config.objectives,
            config.constraints,
            control=config.delta_m,
            kinds=environment.get("tasks"),
            notes=config.notes or "",
        )

    @property
    def trials(self) -> Table:
        """One row per trial or, of trials that yield several networks, per point: search trials by
        number, then controls by name.

        Columns: ``trial``, ``state``, settings (``trial.*``), the selected report's metrics
        (``val/...``, ``model/...``, ``cost/...``), the test metrics (``test/...``), ``front``,
        ``knee`` and the command that trains the trial again.
        """
        return Table(self._result.rows, self._result.metrics)

    @property
    def history(self) -> Table:
        """One row per report: ``trial``, ``report``, ``epoch``, ``phase`` and its metrics."""
        return Table(self._result.history)

    @property
    def front(self) -> Table:
        """The non-dominated trials, from the best to the worst of the first objective."""
        return Table(self._result.front_rows, self._result.metrics)

    @property
    def hypervolume(self) -> float:
        """Hypervolume of the front, in the product of the objectives' units; NaN if the front is
        empty."""
        return self._result.front.hypervolume

    def plot_front(self, path: str | Path | None = None) -> Figure:
        """Plot the front, the other trials and the controls, one panel per pair of objectives.

        Args:
            path: file for the figure; its suffix (.png, .pdf, .svg) is the format. None writes no
                file.
        """
        from mtsearch.reporting.plots import front_figure, write_front

        if path is not None:
            write_front(Path(path), self._result)
        return front_figure(self._result)

    # ------------------------------------------------------------ models

    def pick(self, how: str = "auto", *, of: str | None = None, **weights: float) -> PickedTrial:
        """Choose one trial, like ``pick=`` of ``mtsearch export``.

        Args:
            how: ``auto`` (the only point; equal preference for two; the knee from three points
                on), ``knee``, ``preference`` with a weight per task as keyword arguments,
                ``best:METRIC``, ``bound:METRIC<=VALUE``, or ``trial:NAME`` for a trial, point or
                control. Where ``preference`` chooses a point of a Pareto set, the network is the
                one of exactly that preference, between the measured points.
            of: a task whose own best report is used, if the trial had ``keep: tasks``.
            weights: of ``preference``, non-negative, by task.

        Raises:
            BadInput: no trial fits, or `how` has none of these forms.

        Example:
            >>> run.pick("preference", image=0.7, digit=0.3).export("out")  # doctest: +SKIP
        """
        if weights:
            if how != "preference":
                given = ", ".join(sorted(weights))
                raise BadInput(f"`{given}` goes with `preference` only. Found `{how}`.")
            how = "preference:" + ",".join(f"{task}={value!r}" for task, value in weights.items())
        if not isinstance(how, str):
            raise BadInput(f"`pick` should be a text, such as `trial:0003`. Found {how!r}.")
        rows, objectives = self.directory.rows(), self.config.objectives
        if how == "auto" and self.directory.single and len(rows) == 1:
            how = f"trial:{rows[0]['trial']}"
        if self.directory.single:  # what is trained alone is all there is to choose from
            rows = [{**row, "kind": "search"} for row in rows]
        row = choose(rows, objectives, how, self.config.constraints)
        between = "@" in str(row["trial"]) and row.get("trial.pareto_set.level") is None
        preference = task_weights(objectives, how) if between else None
        return PickedTrial(self, row, how, of, preference)

    def __repr__(self) -> str:
        states = ", ".join(f"{n} {name}" for name, n in sorted(self._result.states.items()))
        return (
            f"Run({self.address!r}: {states or 'no trial'}; front {len(self._result.front_rows)})"
        )

    def _repr_html_(self) -> str:
        return f"<p><code>{self.address}</code></p>{self.front._repr_html_()}"


class PickedTrial:
    """A trial of a run whose network can be loaded, exported and used.

    Attributes:
        run: the run that it belongs to.
        row: its row of the tables; of a network between the points of a Pareto set, the row of the
            point that was chosen.
        how: how it was picked.
        of: the task whose own best report is used; None for the selected report.
        preference: of a network between the points of a Pareto set, weight by task; else None.
    """

    def __init__(
        self,
        run: Run,
        row: Row,
        how: str,
        of: str | None = None,
        preference: Mapping[str, float] | None = None,
    ) -> None:
        self.run, self.row, self.how, self.of, self.preference = run, row, how, of, preference

    @property
    def name(self) -> str:
        """The trial's number or the control's name; of a point with its index, or with its
        preference if it lies between the measured points."""
        name = str(self.row["trial"])
        if self.preference is None:
            return name
        weights = ",".join(f"{task}={weight:.6g}" for task, weight in self.preference.items())
        return f"{trial_of(name)}@{weights}"

    @property
    def command(self) -> str:
        """The command that trains this trial again, alone."""
        return str(self.row["command"])

    def trial(self, places: Mapping[str, Any] | None = None) -> Trial | Population:
        """Load the finished trial with its data and its trained network.

        Args:
            places: `root` and `store` of the data, if they have moved since the run.

        Raises:
            BadInput: the trial has no checkpoint, or the data found are not those that it was
                trained on.
        """
        from mtsearch.jobs.restore import load_trial

        name = str(self.row["trial"])
        chosen = name if self.preference is None else trial_of(name)
        return load_trial(self.run.directory, chosen, places)

    def load(self, places: Mapping[str, Any] | None = None) -> Predictor:
        """The trained network as a torch module with `predict`. Arguments and errors as `trial`."""
        from mtsearch.deploy.predictor import Predictor

        trial, network = self._network(places)
        return Predictor(network, trial.dataset, trial.tasks)

    def export(
        self,
        out: str | Path | None = None,
        *,
        onnx: bool = False,
        places: Mapping[str, Any] | None = None,
    ) -> Path:
        """Compact the network, check it and write `model.safetensors`, `model.pt2` and its card.

        Args:
            out: the folder to create; by default `export/<trial>` in the run's folder, or in the
                working directory for a run at a URL. An earlier export there is replaced.
            onnx: whether to write `model.onnx` too (needs the extra ``onnx``).
            places: as for `trial`.

        Returns:
            `out`.

        Raises:
            BadInput: as `trial`, or `out` has other content than an export.
            RuntimeError: the outputs of the exported network differ from those of the trained one.
        """
        from mtsearch.deploy import export_model, need_onnx

        if onnx:
            need_onnx()
        trial, network = self._network(places)
        name = self.name if self.of is None else f"{self.name}-{self.of}"
        if out is None:
            parent = Path() if is_url(self.run.address) else self.run.directory.path
            out = parent / "export" / name
        return export_model(
            network, trial.dataset, trial.tasks, Path(out), self._facts(trial), onnx=onnx
        )

    def _network(self, places: Mapping[str, Any] | None) -> tuple[Trial | Population, Any]:
        from mtsearch.population import Population
        from mtsearch.training.pareto_set import ParetoSetTrial

        trial = self.trial(places)
        if isinstance(trial, ParetoSetTrial):
            network = trial.selected_model(self.of, self.preference)
        elif not isinstance(trial, Population):
            network = trial.selected_model(self.of)
        elif self.of is None:
            network = trial.selected_model()
        else:
            raise BadInput(
                f"trial `{self.name}` is a population, which has one target task and one model."
                " Leave `of` out."
            )
        if network.uses_labels:
            raise BadInput(
                f"trial `{self.name}` is a baseline that reads ground-truth labels, so there is no"
                " model to deploy. Pick another trial."
            )
        return trial, network

    def _facts(self, trial: Trial | Population) -> dict[str, Any]:
        """The card's description of the trial. The run and files are given by name only, because
        paths mean nothing on other machines."""
        from mtsearch.population import Population
        from mtsearch.training.pareto_set import ParetoSetTrial

        row, how, preference = self.row, self.how, trial.config.preference
        if isinstance(trial, ParetoSetTrial) and self.preference is not None:
            row, preference = trial.measure(self.preference), dict(self.preference)
        if self.of is not None and not isinstance(trial, Population):
            row = {k: v for k, v in row.items() if not k.startswith(("val/", "test/"))}
            row |= trial.best(self.of)
            how = f"{how}, best of {self.of}"
        return {
            "run": self.run.directory.name,
            "trial": self.name,
            "pick": how,
            "command": shlex.join(strip_local_paths(shlex.split(self.command))),
            "preference": preference,
            "metrics": {
                key: value
                for key, value in row.items()
                if key.startswith(("val/", "test/")) and isinstance(value, int | float)
            },
            "config": trial.config.model_dump(mode="json"),
            "environment": dict(self.run.directory.environment),
        }

    def __repr__(self) -> str:
        return f"PickedTrial({self.name!r} of {self.run.address!r}, picked by {self.how!r})"

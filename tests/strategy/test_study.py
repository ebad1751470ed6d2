import math

import optuna
import pytest
from optuna.trial import TrialState

from mtsearch.config.errors import BadInput
from mtsearch.config.space import Space
from mtsearch.runs.directory import RunDirectory
from mtsearch.runs.opening import create_run
from mtsearch.strategy.points import grid
from mtsearch.strategy.study import Study, check_search
from tests.helpers.spaces import space

STARTUP = {
    name: {"startup": 4} for name in ("tpe", "nsga2", "nsga3", "curves")
}  # the samplers that have one


class StudyRun:
    """A run whose trials end without training, with the given results."""

    def __init__(self, space):
        self.run = create_run(space, {}, name="toy")
        self.space, self.state = space, self.run.read_state()
        self.study = Study(self.run, space, self.state)

    def write(self, event, **fields):
        self.state.apply(self.run.log.append(event, **fields))

    def ask(self):
        t = self.study.ask()
        self.write(
            "start",
            trial=t.trial,
            kind=t.kind,
            control=None,
            config=t.config,
            params=t.params,
            study=t.study,
            attempt=1,
        )
        return t.trial

    def end(self, name, **metrics):
        config = self.state.trials[name].config
        size, lr = config["batch_size"], float(config.get("optimizer", {}).get("lr", 0.1))
        metrics = {
            "val/image/error": 50 - size + lr,
            "val/digit/error": 10.0 + size,
            "model/density": size / 8,
            **metrics,
        }
        self.write("report", trial=name, report=1, metrics={"report": 1, "epoch": 1, **metrics})
        self.write("end", trial=name, state="done", selected=1)
        self.study.tell(self.state.trials[name])

    def reload(self):
        self.run.log.close()
        self.state = self.run.read_state()
        self.study = Study(self.run, self.space, self.state)

    def params(self):
        return [t.params for t in self.state.sorted()]

    def states(self):
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(self.run.journal))
        )
        study = optuna.load_study(study_name="toy", storage=storage)
        return [t.state for t in study.get_trials()]


@pytest.fixture
def search_of(tmp_path):
    made = []

    def make(**settings):
        made.append(StudyRun(space(tmp_path, **settings)))
        return made[-1]

    yield make
    for one in made:
        one.run.log.close()


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3", "curves", "random", "qmc"])
def test_reloaded_study_proposes_the_same(search_of, name):
    plain, disturbed = (
        search_of(trials=14, sampler={"name": name, **STARTUP.get(name, {})}) for _ in range(2)
    )
    for i in range(14):
        for one in (plain, disturbed):
            one.end(one.ask())
        if i == 5:
            disturbed.reload()
        if i == 8:
            disturbed.run.journal.unlink()
            disturbed.reload()
    assert plain.params() == disturbed.params()
    assert len({str(p) for p in plain.params()}) == 14


@pytest.mark.slow
def test_reloaded_gp_study_proposes_the_same(search_of):
    plain, disturbed = (search_of(trials=6, sampler={"name": "gp", "startup": 4}) for _ in range(2))
    for one in (plain, disturbed):
        for _ in range(5):
            one.end(one.ask())
    disturbed.reload()
    assert plain.study.ask().params == disturbed.study.ask().params


@pytest.mark.parametrize("name", ["random", "qmc", "grid"])
def test_proposals_do_not_depend_on_completion_order(search_of, name):
    one, many = (search_of(trials=8, sampler="grid" if name == "grid" else name) for _ in range(2))
    for _ in range(8):
        one.end(one.ask())
    for trial in reversed([many.ask() for _ in range(8)]):
        many.end(trial)
    assert one.params() == many.params()


def test_seed_changes_proposals(search_of):
    first, second = (search_of(sampler="random", seed=seed) for seed in (0, 1))
    assert first.study.ask().params != second.study.ask().params


def test_qmc_fills_each_dimension_evenly(search_of):
    one = search_of(trials=64, sampler="qmc")
    lrs = [math.log10(one.study.ask().config["optimizer"]["lr"]) for _ in range(64)]
    counts = [sum(-5 + i * 0.5 <= x < -4.5 + i * 0.5 for x in lrs) for i in range(8)]
    assert counts == [8] * 8


def test_grid_enumerates_conditional_space_in_order(tmp_path):
    raw = space(tmp_path).raw | {
        "trial": {
            "batch_size": {"int": [2, 3], "default": 2},
            "sparsity": {
                "choice": [
                    "none",
                    {"mode": "target", "target": {"choice": [0.25, 0.5], "default": 0.5}},
                ],
                "default": "none",
            },
        }
    }
    made = Space(raw)
    assert grid(made, 99) == [[0, 0], [0, 1, 0], [0, 1, 1], [1, 0], [1, 1, 0], [1, 1, 1]]
    assert grid(made, 2) == [[0, 0], [0, 1, 0]]


def test_grid_has_no_more_trials_than_points(search_of):
    one = search_of(trials=99)
    assert one.study.size == 8
    assert [one.study.ask().config["batch_size"] for _ in range(1)] == [1]


def test_grid_refuses_continuous_dimension(tmp_path):
    raw = space(tmp_path, sampler="random").raw
    with pytest.raises(BadInput, match=r"`trial.optimizer.lr` is continuous"):
        check_search(Space({**raw, "search": {"sampler": "grid"}}))


def test_more_than_ten_objectives_are_refused(tmp_path):
    raw = space(tmp_path, sampler="random").raw
    many = [{"metric": f"val/t{i}/error", "goal": "min"} for i in range(11)]
    with pytest.raises(BadInput, match="at most 10 metrics"):
        check_search(Space({**raw, "objectives": many}))


def test_population_of_one_is_refused(tmp_path):
    with pytest.raises(BadInput, match="population of nsga2"):
        check_search(space(tmp_path, sampler={"name": "nsga2", "startup": 1}))


def test_study_stores_each_outcome(search_of):
    one = search_of(sampler="random")
    names = [one.ask() for _ in range(4)]
    one.end(names[0])
    one.end(names[1], **{"val/image/error": math.nan})
    one.write("end", trial=names[2], state="failed", reason="out of memory")
    one.study.tell(one.state.trials[names[2]])
    assert one.states() == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]


def test_journal_is_written_without_a_link(search_of, monkeypatch):
    """A link in the run's folder would be refused by whoever reads the run meanwhile."""
    made = []
    monkeypatch.setattr("os.symlink", lambda *paths: made.append(paths))
    search = search_of()
    search.end(search.ask())
    assert made == [] and RunDirectory(search.run.path).journal.stat().st_size > 0


def test_resumed_study_drops_trial_that_never_started(search_of):
    one = search_of(sampler="random", trials=9)
    names = [one.ask() for _ in range(3)]
    one.end(names[0])
    one.write("end", trial=names[1], state="failed", reason="killed before the study was told")
    ghost = one.study.ask()  # the driver died before the start was written down
    one.reload()
    assert one.states() == [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING]
    assert one.study.ask().params == ghost.params


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes() + b'{"op_code": 4, "wor'),
        lambda path: path.write_bytes(b"nonsense\n" + path.read_bytes()),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3])),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
    ],
)
def test_damaged_journal_is_rebuilt_from_events(search_of, damage):
    one = search_of(sampler="random", trials=9)
    for name in [one.ask() for _ in range(3)][:2]:
        one.end(name)
    damage(one.run.journal)
    one.reload()
    assert one.states() == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    one.end("0002")
    one.end(one.ask())
    assert one.states() == [TrialState.COMPLETE] * 4
    one.reload()
    assert one.states() == [TrialState.COMPLETE] * 4


def test_constraints_are_stored_in_the_study(tmp_path, search_of):
    raw = space(tmp_path, sampler="random").raw | {
        "constraints": [
            {"metric": "model/density", "max": 0.5},
            {"metric": "cost/steps", "min": 10},
        ]
    }
    one = StudyRun(Space(raw))
    for steps, density in ((20, 0.4), (20, 0.6), (5, 0.4), (math.nan, 0.4)):
        one.end(one.ask(), **{"cost/steps": steps, "model/density": density})
    study = one.study._study
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 3 + [TrialState.FAIL]
    feasible = [all(v <= 0 for v in t.constraints.values()) for t in study.trials[:3]]
    assert feasible == [True, False, False]
    listed = [
        t.system_attrs["constraints"] for t in study.trials[:3]
    ]  # what optuna-dashboard reads
    assert listed == [
        [pytest.approx(density - 0.5), 10.0 - steps]
        for steps, density in ((20, 0.4), (20, 0.6), (5, 0.4))
    ]
    assert list(study.trials[0].user_attrs) == ["model/density <= 0.5", "cost/steps >= 10"]
    one.run.journal.unlink()
    one.reload()
    assert [t.system_attrs for t in one.study._study.trials] == [
        t.system_attrs for t in study.trials
    ]
    one.run.log.close()


def test_shipped_grids_fit_their_trials():
    from mtsearch.config.reading import list_spaces, load_space

    for name in list_spaces():
        made = load_space(name)
        check_search(made)
        if made.config.search.sampler.name == "grid":
            assert len(grid(made, 1000)) <= made.config.search.trials

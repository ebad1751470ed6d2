"""Several processes train a population bit-identically to one process (invariants 14 and 20)."""

import json
import subprocess
import sys

import pytest

from mtsearch.population.member import MemberTrainer
from mtsearch.population.rounds import Rounds
from mtsearch.training import World
from tests.population.conftest import ROOT
from tests.population.tiny import equal, population, states, timeless

CASES = [
    {
        "tasks": 3,
        "formulation": {"name": "class_subset", "classes": 2},
        "donor_rule": "softmax_score",
        "budget": 48,
    },
    {
        "tasks": 2,
        "merge": "lerp",
        "alpha": 0.5,
        "final": "best_across",
        "validation_policy": "shared_select",
    },
    {"tasks": 3, "final": "average", "group_size": 3, "budget": 72},
    {
        "tasks": 3,
        "merge": "lerp",
        "merge_at": "acceptance",
        "alpha": 0.4,
        "accept": "argmin",
        "budget": 72,
    },
]
# four members
EACH = [
    {
        "formulation": {"name": "class_subset", "classes": 2},
        "donor_rule": "softmax_score",
        "accept": "always",
    }
]
PROCESS = """
import sys, json, pathlib, torch.distributed as dist
sys.path.insert(0, {root!r})
from tests.population import tiny
import mtsearch.training.checkpointed as checkpointed
checkpointed.open_dataset = tiny.opened
from mtsearch.population import Population
from mtsearch.training import World
folder, rank = pathlib.Path({folder!r}), int(sys.argv[1])
meeting = f"file://{{folder / 'meeting'}}"
dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size={size})
world = World(rank, {size})
for number, case in enumerate(json.loads({cases!r})):
    trial = tiny.population(world, **case)
    reports = [next(trial)]
    if rank == 0:
        trial.save(folder / f"state{{number}}")
    dist.barrier()
    trial = Population.restore(folder / f"state{{number}}", None, world)
    reports += list(trial)
    if rank == 0:
        trial.save(folder / f"end{{number}}")
    figures = trial.evaluate("test")
    found = json.dumps([*tiny.timeless(reports), figures])
    (folder / f"reports{{number}}.{{rank}}").write_text(found)
dist.barrier()
dist.destroy_process_group()
"""


def trained(folder, size, cases):
    """Return the folder in which `size` processes have trained all cases, each interrupted after
    the first report."""
    code = PROCESS.format(root=ROOT, folder=str(folder), size=size, cases=json.dumps(cases))
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]
    said = [process.communicate(timeout=300)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0] * size, said
    return folder


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("world"), 2, CASES)


def check(folder, number, size, case):
    from mtsearch.training.state import load_state

    alone = population(**case)
    reports = json.loads(json.dumps([*timeless(list(alone)), alone.evaluate("test")]))
    for rank in range(size):
        assert json.loads((folder / f"reports{number}.{rank}").read_text()) == reports
    assert equal(load_state(folder / f"end{number}")["final"], alone._final)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_two_processes_equal_one_process(two_processes, number):
    check(two_processes, number, 2, CASES[number])


@pytest.mark.slow
def test_results_are_independent_of_process_count(tmp_path):
    """Invariant 14, with as many processes as tasks x members."""
    trained(tmp_path, 4, EACH)
    check(tmp_path, 0, 4, EACH[0])


def test_training_a_member_is_reproducible():
    """Invariant 14: a job depends on its arguments only, so that a new trainer and one that has
    trained other members give equal results."""
    trial = population(tasks=3)
    start = trial._rounds.states[1]
    first = trial._trainer.train(trial._tasks[0], start, 0, 4)
    trial._trainer.train(trial._tasks[2], trial._rounds.states[2], 8, 4)
    other = population(tasks=3)
    for trainer in (trial._trainer, other._trainer):
        again = trainer.train(trial._tasks[0], start, 0, 4)
        assert equal(again.state.tree(), first.state.tree()) and again.loss == first.loss


def test_results_are_independent_of_training_order(monkeypatch):
    """Invariant 14."""
    case = {"tasks": 3, "group_size": 3, "donor_rule": "all", "accept": "argmin", "budget": 72}
    plain = population(**case)
    reports = timeless(list(plain))
    assigned = Rounds._assign
    monkeypatch.setattr(
        Rounds, "_assign", lambda self, *values: dict(reversed(assigned(self, *values).items()))
    )
    turned = population(**case)
    assert timeless(list(turned)) == reports and equal(states(turned), states(plain))


def test_members_do_not_communicate_during_training(monkeypatch):
    """Invariant 20: within its K steps a member does not communicate."""
    silent = {"now": False}

    def collective(name):
        called = getattr(World, name)

        def guarded(self, *values):
            assert not silent["now"], name
            return called(self, *values)

        return guarded

    train = MemberTrainer.train

    def quiet(self, *values, **named):
        silent["now"] = True
        try:
            return train(self, *values, **named)
        finally:
            silent["now"] = False

    for name in ("all_reduce_", "all_gather", "broadcast", "send"):
        monkeypatch.setattr(World, name, collective(name))
    monkeypatch.setattr(MemberTrainer, "train", quiet)
    trial = population()
    list(trial)
    assert set(states(trial)) == {0, 1}

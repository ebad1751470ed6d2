"""Auxiliary losses as tasks, against a direct loop over networks, candidates and rounds (invariant
17)."""

import copy
import math

import pytest
import torch
from torch import nn

from mtsearch.config.cards import DatasetCard, TaskCard
from mtsearch.data import Dataset, Split
from mtsearch.models import build_model
from mtsearch.population import Population
from mtsearch.population.seeding import derive_seed, generator_of
from mtsearch.training.optimizers import build_optimizer
from tests.population import tiny

TASK = TaskCard(name="level", kind="regression", outputs=2)
ROUNDS, K, SIZE = 4, 5, 16


def toy():
    noise = torch.Generator().manual_seed(5)
    sides = {}
    for side, count in (("train", 100), ("val", 30), ("test", 30)):
        images = torch.randint(0, 256, (count, 1, 8, 8), generator=noise, dtype=torch.uint8)
        values = images.float().mean((2, 3)) / 64 + 0.1 * torch.randn(count, 1, generator=noise)
        sides[side] = Split(images, {"level": torch.cat([values, 1 - values], 1)})
    card = DatasetCard(
        name="toy",
        title="toy",
        source={},
        tasks=(TASK,),
        shape=(1, 8, 8),
        mean=(0.5,),
        std=(0.3,),
        val_fraction=0.2,
        licence="none",
        how_to_get="it is made",
    )
    return Dataset(card, "toy", sides, (0.5,), (0.3,), "toy")


def directly(trial, losses, alpha=1.0):
    """Section 2.4: in each round every network has as candidates a copy of itself and of each other
    network, trained with its loss on the same batches. It becomes the candidate with the lowest
    value of that loss on the hold-out; the lowest number wins ties. With `alpha` below 1 the
    weights of its convolutions are interpolated between their values before the round and those
    of the winner, and everything else, including the optimiser, does not change."""
    config, target = trial.config, trial._tasks[0]
    functions = {"mse": nn.functional.mse_loss, "l1": nn.functional.l1_loss}
    networks, optimizers = [], []
    with torch.random.fork_rng():
        for key in range(len(losses)):
            torch.manual_seed(derive_seed(config.seed, "init", key))
            networks.append(
                build_model(config.architecture, config.backbone, [TASK], (1, 8, 8)).to(
                    memory_format=torch.channels_last
                )
            )
            optimizers.append(build_optimizer(config.optimizer, networks[-1].parameters()))
        passes = math.ceil(len(target.train) / SIZE)
        held, wanted = trial._source._of(target, False).take(target.hold_out)
        for number in range(ROUNDS):
            kept = []
            for i, loss in enumerate(losses):
                candidates = []
                for network, optimizer in zip(networks, optimizers, strict=True):
                    candidate = copy.deepcopy(network).train()
                    mine = build_optimizer(config.optimizer, candidate.parameters())
                    mine.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                    for step in range(number * K, (number + 1) * K):
                        done, place = divmod(step, passes)
                        order = target.train[
                            torch.randperm(
                                len(target.train),
                                generator=generator_of(config.seed, "order", i, done),
                            )
                        ]
                        images, labels = trial._source._of(target, False).take(
                            order[place * SIZE : (place + 1) * SIZE]
                        )
                        torch.manual_seed(derive_seed(config.seed, "dropout", i, step))
                        mine.zero_grad()
                        functions[loss](candidate(images)["level"], labels["level"]).backward()
                        mine.step()
                    with torch.no_grad():
                        value = functions[loss](
                            candidate.eval()(held)["level"].double(), wanted["level"].double()
                        ).item()
                    candidates.append((value, len(candidates), candidate, mine))
                kept.append(min(candidates, key=lambda c: c[:2]))
            if alpha < 1:
                networks = [
                    blended(network, winner[2], alpha)
                    for network, winner in zip(networks, kept, strict=True)
                ]
            else:
                networks, optimizers = [c[2] for c in kept], [c[3] for c in kept]
            yield [c[1] for c in kept], networks


def blended(network, winner, alpha):
    found = copy.deepcopy(network)
    theirs = dict(winner.named_parameters())
    with torch.no_grad():
        for name, value in found.named_parameters():
            if value.ndim == 4:
                value.copy_(torch.lerp(value, theirs[name], alpha))
    return found


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_losses_as_tasks_are_the_chapters_algorithm(monkeypatch, alpha):
    monkeypatch.setattr("mtsearch.training.checkpointed.open_dataset", lambda data: toy())
    population = {
        "formulation": {"name": "loss", "losses": ["l1", "mse"]},
        "donor_rule": "all",
        "accept": "argmin",
        "interval": K,
    }
    if alpha < 1:
        population |= {"merge": "conv_lerp", "merge_at": "acceptance", "alpha": alpha}
    optimizer = {"name": "adam", "lr": 0.01}
    config = tiny.config(
        tasks=3,
        group_size=3,
        budget=ROUNDS * 9 * K,
        **population,
        trial__optimizer=optimizer,
        trial__augment={},
        trial__lr_schedule="constant",
    )
    trial = Population(config, tiny.DATA)
    winners = set()
    for report, (kept, networks) in zip(
        trial, directly(trial, ["mse", "l1", "mse"], alpha), strict=True
    ):
        for i in range(3):
            winners.add(kept[i] == i)
            assert report[f"population/task{i}/accepted"] == float(kept[i] != i)
            found = trial._rounds.states[i].model
            for name, value in networks[i].state_dict().items():
                assert torch.allclose(found[name], value, rtol=1e-4, atol=1e-6), (
                    report["report"],
                    i,
                    name,
                )
    assert len(winners) == 2 or alpha < 1  # own states and others' were kept

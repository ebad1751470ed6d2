"""KDMTL: hard sharing with distillation of the features of frozen single-task networks."""

import copy

import pytest
import torch

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.errors import BadInput
from mtsearch.deploy.compact import compact
from mtsearch.deploy.serving import Serving
from mtsearch.models import build_model
from mtsearch.models.kdmtl import distance

torch.set_num_threads(1)

DIGITS = [TaskCard(name="left", outputs=10), TaskCard(name="right", outputs=10)]
MIXED = [TaskCard(name="scene", outputs=7), TaskCard(name="pixels", kind="segmentation", outputs=5)]
MM, CM = (schema.BackboneMMConfig(), (1, 28, 28)), (schema.BackboneCMConfig(), (3, 32, 32))


def pair(backbone=MM, tasks=DIGITS, seed=0, **settings):
    torch.manual_seed(seed)
    student = build_model(schema.KDMTLConfig(**settings), backbone[0], tasks, backbone[1])
    teachers = build_model(schema.STLConfig(), backbone[0], tasks, backbone[1])
    student.set_teachers(teachers)
    return student, teachers


def distilled(student, x, tasks=None):
    return student.extra_losses(x, student.share(x, tasks), tasks)


@pytest.mark.parametrize(("backbone", "count"), [(MM, 27_450), (CM, 44_852)], ids=["mm", "cm"])
def test_parameter_count_excludes_the_teachers(backbone, count):
    """Invariant 17 of the MDMTN specification."""
    student, _ = pair(backbone)
    assert sum(p.numel() for p in student.parameters()) == count
    assert not any("teach" in name or "taught" in name for name in student.state_dict())


@pytest.mark.parametrize(
    ("backbone", "tasks"), [(MM, DIGITS), (CM, DIGITS), (CM, MIXED)], ids=["mm", "cm", "mixed"]
)
def test_distillation_gradient_reaches_trunk_and_adaptors_only(backbone, tasks):
    """Defect 22 of the MDMTN specification: with detached student features the trunk's gradient
    would not depend on the weight."""
    student, teachers = pair(backbone, tasks)
    x = torch.randn(4, *backbone[1])
    losses = distilled(student, x)
    assert list(losses) == [task.name for task in tasks]
    sum(losses.values()).backward()
    assert all(
        p.grad is not None and p.grad.any() for p in student.trunk.parameters() if p.ndim > 1
    )
    assert all(
        p.grad is not None and p.grad.any()
        for a in student.adaptors.values()
        for p in a.parameters()
        if p.ndim > 1
    )
    assert all(p.grad is None for p in student.heads.parameters())
    assert all(p.grad is None and not p.requires_grad for p in teachers.parameters())
    assert not teachers.training


def test_distillation_loss_matches_the_paper():
    student, teachers = pair(weight={"left": 0.5, "right": 0.04})
    x = torch.randn(5, *MM[1])
    (z,) = student.share(x)
    for name, weight in (("left", 0.5), ("right", 0.04)):
        f, a = teachers.trunks[name](x)[0], student.adaptors[name](z)
        plain = sum((a[b] / a[b].norm() - f[b] / f[b].norm()).square().sum() for b in range(5)) / 5
        torch.testing.assert_close(distilled(student, x)[name], weight * plain)
    assert list(distilled(student, x, ["right"])) == ["right"]


def test_distance_of_equal_features_is_zero():
    student, _ = pair()
    features = student.share(torch.randn(4, *MM[1]))[0].detach()
    assert distance(features * 3, features).item() == pytest.approx(0, abs=1e-10)
    assert distance(features, -features).item() == pytest.approx(4, abs=1e-5)


@pytest.mark.parametrize("shape", [(3, 8), (3, 8, 2, 2)])
def test_zero_features_give_finite_losses_and_gradients(shape):
    zero = torch.zeros(shape, requires_grad=True)
    other = torch.rand(shape)
    value = distance(zero, other)
    assert value.item() == pytest.approx(1)
    value.backward()
    assert torch.isfinite(zero.grad).all()
    assert distance(other, torch.zeros(shape)).item() == pytest.approx(1)
    assert distance(torch.zeros(shape), torch.zeros(shape)).item() == 0


def test_task_without_weight_has_no_distillation_loss():
    student, _ = pair(weight={"left": 0.1})
    assert list(distilled(student, torch.randn(2, *MM[1]))) == ["left"]


def test_copies_share_teachers_and_outputs_ignore_them():
    student, teachers = pair()
    copied = copy.deepcopy(student)
    x = torch.randn(2, *MM[1])
    with torch.no_grad():
        for p in teachers.parameters():
            p.mul_(2)
    assert torch.equal(distilled(copied, x)["left"], distilled(student, x)["left"])
    hps = build_model(schema.HPSConfig(), MM[0], DIGITS, MM[1])
    hps.load_state_dict(
        {k: v for k, v in student.state_dict().items() if not k.startswith("adaptors.")}
    )
    assert all(torch.equal(a, b) for a, b in zip(hps(x).values(), student(x).values(), strict=True))


def test_an_export_holds_no_adaptor():
    student, _ = pair(CM)
    small = compact(Serving(student.eval(), [0.5] * 3, [0.25] * 3), CM[1]).model
    assert sum(p.numel() for p in small.parameters()) == 42_740


def test_missing_teachers_and_unknown_tasks_are_refused():
    student = build_model(schema.KDMTLConfig(), MM[0], DIGITS, MM[1])
    with pytest.raises(RuntimeError, match="needs teachers"):
        distilled(student, torch.randn(2, *MM[1]))
    with pytest.raises(
        BadInput,
        match=(
            r"`trial.architecture.weight` should name tasks of the dataset\. Found `rigth`\. Did"
            r" you mean `right`"
        ),
    ):
        pair(weight={"rigth": 0.1})

"""Conformance suite for task kinds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mtsearch.config.base import Model
from mtsearch.config.cards import TaskCard
from mtsearch.config.metrics import has_values, metrics_of
from mtsearch.config.schema import Augment, BackboneCMConfig
from mtsearch.data.transforms import Move
from mtsearch.models import build_head, need_of
from mtsearch.models.registry import build_backbone
from mtsearch.tasks import Geometry, Meter, meter_for, task_loss
from mtsearch.tasks.geometry import geometry_of
from mtsearch.testing.samples import Shape, close, images, same, seeded, targets

CPU = torch.device("cpu")
CUTS = ((12,), (5, 7), (1, 1, 10), (4, 4, 4))


class TaskKindConformance:
    """Tests of a task kind. Set `task`, and override `labels` if its labels are neither classes nor
    values of the shape of the outputs, and `augmented` if a flip or a zoom changes them.

    Attributes:
        task: a card of the kind.
        backbone: the settings of a backbone whose features its head reads.
        shape: (channels, height, width) of the images.
        per_entry: whether the entries of a label count separately, so that a missing entry does not
            exclude the others.
    """

    task: TaskCard
    backbone: Model = BackboneCMConfig()
    shape: Shape = (3, 16, 16)
    per_entry: bool = True

    def output(self, count: int = 12) -> Tensor:
        """Return raw outputs of the kind's head on random images, with their graph."""
        with seeded():
            family = build_backbone(self.backbone, self.shape)
            (features,) = family.trunk([need_of(self.task)]).train()(images(self.shape, count))
            return 2 * build_head(self.task, family)(features)

    def labels(self, output: Tensor) -> Tensor:
        """Return labels for raw outputs, none of them missing."""
        return targets(self.task, output)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return raw outputs and labels of 12 images, some of which are not labelled."""
        output = self.output()
        labels = self.labels(output.detach())
        labels[3] = labels[8] = self.task.missing
        if self.per_entry and labels.dim() > 1:
            labels[5].view(-1)[0] = self.task.missing
        return output, labels

    def augmented(self, labels: Tensor, flip: bool, side: float) -> Tensor:
        """Return what labels, whose pixels have been moved with those of the images, become.

        Args:
            labels: some of them missing.
            flip: whether the images are mirrored horizontally.
            side: the side of the part of the images that is enlarged to the whole, as a share.
        """
        return labels

    def metered(self, output: Tensor, labels: Tensor, cut: Sequence[int]) -> Meter:
        """Return a meter that was updated with the images in batches of these sizes."""
        meter = meter_for(self.task, CPU)
        for part, target in _batches(output.detach(), labels, cut):
            meter.update(part, target)
        return meter

    def test_loss_sums_and_counts_add_over_batches(self) -> None:
        output, labels = self.batch()
        total, count = task_loss(self.task, output, labels)
        assert total.dim() == 0 and count.dim() == 0 and count > 0, (
            "the loss and the count should be scalars"
        )
        assert bool(torch.isfinite(total))
        for cut in CUTS:
            pairs = [
                task_loss(self.task, part, target) for part, target in _batches(output, labels, cut)
            ]
            assert sum(int(c) for _, c in pairs) == int(count), f"count for batches of {cut}"
            summed, whole = sum(s.item() for s, _ in pairs), total.item()
            assert math.isclose(summed, whole, rel_tol=1e-5, abs_tol=1e-6), (
                f"batches of {cut} sum to {summed}, not {whole}"
            )

    def test_unlabelled_entries_do_not_affect_the_loss(self) -> None:
        output, labels = self.batch()
        kept = [i for i in range(len(labels)) if i not in (3, 8)]
        total, count = task_loss(self.task, output, labels)
        some, number = task_loss(self.task, output[kept], labels[kept])
        assert int(count) == int(number) and math.isclose(
            total.item(), some.item(), rel_tol=1e-5, abs_tol=1e-6
        )
        (gradient,) = torch.autograd.grad(total, output)
        assert bool(torch.isfinite(gradient).all())
        assert not gradient[[3, 8]].any(), "images without a label have a gradient"
        assert bool(gradient[kept].flatten(1).any(1).all()), "a labelled image has no gradient"

    def test_unlabelled_batch_has_zero_loss_and_nan_metrics(self) -> None:
        output = self.output(2)
        labels = self.labels(output.detach())
        labels[:] = self.task.missing
        total, count = task_loss(self.task, output, labels)
        assert total.item() == 0 and int(count) == 0
        (gradient,) = torch.autograd.grad(total, output)
        assert not gradient.any(), "the gradient without labels should be zero"
        metrics = self.metered(output, labels, (2,)).compute()
        assert all(math.isnan(value) for value in metrics.values()), (
            f"metrics without labels should be NaN. Found {metrics}"
        )
        assert all(math.isnan(value) for value in meter_for(self.task, CPU).compute().values())

    def test_metrics_match_declaration_for_any_batches(self) -> None:
        output, labels = self.batch()
        whole = self.metered(output, labels, CUTS[0]).compute()
        prefix = f"val/{self.task.name}/"
        declared = {
            name.removeprefix(prefix) for name in metrics_of([self.task]) if name.startswith(prefix)
        }
        assert set(whole) == declared, f"declared {sorted(declared)}, found {sorted(whole)}"
        assert all(math.isfinite(value) for value in whole.values()), f"found {whole}"
        total, count = task_loss(self.task, output, labels)
        assert math.isclose(whole["loss"], total.item() / int(count), rel_tol=1e-5), (
            "`loss` should be the mean loss"
        )
        for cut in CUTS[1:]:
            found = self.metered(output, labels, cut).compute()
            assert all(
                math.isclose(found[name], value, rel_tol=1e-5, abs_tol=1e-6)
                for name, value in whole.items()
            ), f"batches of {cut}"

    def test_meter_totals_add_over_ranks(self) -> None:
        output, labels = self.batch()
        first, second = (meter_for(self.task, CPU) for _ in range(2))
        first.update(output.detach()[:5], labels[:5])
        second.update(output.detach()[5:], labels[5:])
        first.totals += second.totals
        whole = self.metered(output, labels, CUTS[0]).compute()
        found = first.compute()
        assert all(
            math.isclose(found[name], value, rel_tol=1e-5, abs_tol=1e-6)
            for name, value in whole.items()
        ), f"{found}, not {whole}"

    def test_geometry_gives_labels_of_augmented_images(self) -> None:
        _, labels = self.batch()
        for hook in self._hooks():
            for flip, side in ((False, 1.0), (True, 1.0), (False, 0.5), (True, 0.75)):
                before = labels.clone()
                found = hook(self.task, labels, _move(len(labels), flip, side))
                assert same(labels, before), "the hook changed its input"
                assert found.dtype == labels.dtype
                expected = self.augmented(labels, flip, side)
                assert found.shape == labels.shape and close(_known(found), _known(expected)), (
                    f"flip={flip} and a part of side {side} give other labels"
                )
                assert torch.equal(torch.isnan(found), torch.isnan(labels))

    def test_flip_of_outputs_and_labels_keeps_loss(self) -> None:
        output, labels = self.batch()
        dense = output.dim() == 4
        flip = _move(len(output), True, 1.0)
        for hook in self._hooks():
            mirrored = hook(self.task, labels.flip(-1) if dense else labels, flip)
            twice = hook(self.task, mirrored.flip(-1) if dense else mirrored, flip)
            assert same(twice, labels), "two flips should restore the labels"
            found = output.flip(-1) if dense else output
            if has_values(self.task.kind) and output.shape == labels.shape:
                found = hook(self.task, found, flip)
            total, count = task_loss(self.task, output, labels)
            other, number = task_loss(self.task, found, mirrored)
            assert int(count) == int(number)
            assert math.isclose(total.item(), other.item(), rel_tol=1e-4, abs_tol=1e-6), (
                f"the loss of mirrored outputs and labels is {other.item()}, not {total.item()}"
            )

    def _hooks(self) -> list[Geometry]:
        """The hook of the kind; none if it refuses geometric augmentation."""
        hook = geometry_of(self.task, Augment(flip=True))
        return [] if hook is None else [hook]


def _move(count: int, flip: bool, side: float) -> Move:
    still = torch.zeros(count, 2)
    crop = torch.tensor([[side, 0.0, 0.0]]).repeat(count, 1)
    return Move(torch.full((count,), flip), still[:, 0], still, crop)


def _known(labels: Tensor) -> Tensor:
    return labels.double().nan_to_num()


def _batches(output: Tensor, labels: Tensor, cut: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(output.split(list(cut)), labels.split(list(cut)), strict=True)

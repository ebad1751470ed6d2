"""Every registered architecture and backbone passes the public suite."""

from importlib.util import find_spec

import pytest

from mtsearch.config import schema
from mtsearch.config.cards import TaskCard
from mtsearch.config.registry import methods
from mtsearch.models import build_model
from mtsearch.testing import TASKS, ArchitectureConformance, BackboneConformance

SCENES = (
    TaskCard(name="scene", outputs=3),
    TaskCard(name="pixels", kind="segmentation", outputs=3),
)
SEGNET = schema.BackboneSegNetConfig(widths=(4, 4, 8, 8, 8))


def taught(suite, seed=0):
    """A student with untrained teachers."""
    model = ArchitectureConformance.model(suite, seed)
    model.set_teachers(build_model(schema.STLConfig(), suite.backbone, suite.tasks, suite.shape))
    return model


# attributes of the suite, for architectures that need others than the defaults or several settings
ARCHITECTURES: dict[str, list[dict]] = {
    "hps": [
        {},
        *(
            {"settings": schema.HPSConfig(norm=norm)}
            for norm in ("task_statistics", "task_affine", "group")
        ),
        {"settings": schema.HPSConfig(split=1)},
        *(
            {"settings": schema.HPSConfig(), "backbone": schema.BackboneCMConfig(tune=tune)}
            for tune in ("head", {"last": 1}, {"lora": {"rank": 2}})
        ),
        {
            "settings": schema.HPSConfig(split=2, norm="task_affine"),
            "backbone": schema.BackboneWRNConfig(depth=10, widen=1),
        },
        {
            "settings": schema.HPSConfig(split=5),
            "backbone": schema.BackboneEfficientNetCIFARConfig(width=0.25, depth=0.5),
            "shape": (3, 32, 32),
        },
    ],
    "cgc": [
        {},
        {"settings": schema.CGCConfig(levels=2)},
        {
            "settings": schema.CGCConfig(experts=2, levels=3),
            "backbone": schema.BackboneWRNConfig(depth=10, widen=1),
        },
    ],
    "cross_stitch": [
        {},
        {
            "settings": schema.CrossStitchConfig(units="layer"),
            "backbone": schema.BackboneWRNConfig(depth=10, widen=1),
        },
    ],
    "dselect_k": [{}, {"settings": schema.DSelectKConfig(per_example=True, entropy=0.1)}],
    "kdmtl": [{"model": taught}],
    "mdmtn": [{}, {"settings": schema.MDMTNConfig(mixing="static")}],
    "mixing": [
        {},
        {"settings": schema.MixingConfig(branches=2)},
        {"settings": schema.MixingConfig(transfer=False)},
        {"backbone": schema.BackboneWRNConfig(depth=10, widen=1)},
        {"backbone": schema.BackboneKTDEConfig(blocks=2, width=4)},
    ],
    "mtln": [
        {"backbone": schema.BackboneWRNConfig(depth=10, widen=1)},
        {
            "backbone": schema.BackboneWRNConfig(depth=10, widen=1),
            "settings": schema.MTLNConfig(
                attention=2, form="residual", extractors="per_task", head_hidden=8, bias=True
            ),
        },
    ],
    "mtln_segnet": [{"backbone": SEGNET, "shape": (3, 32, 32)}],
    "broadcast_scene": [{"tasks": SCENES}],
    "own": [],  # in test_own_architecture.py
}
NUMBERS = (
    TaskCard(name="kind", outputs=3),
    TaskCard(name="size", kind="regression", outputs=2),
)
COLUMNS = {"backbone": schema.BackboneMLPConfig(widths=(8, 6, 6)), "shape": (5, 1, 1)}
for _name, _more in (
    ("hps", {}),
    ("hps", {"settings": schema.HPSConfig(split=1)}),
    ("mtln", {"settings": schema.MTLNConfig(attention=2)}),
    *((name, {}) for name in ("stl", "mdmtn", "mtan", "mmoe", "cgc", "dselect_k")),
    *((name, {}) for name in ("cross_stitch", "mixing")),
    ("kdmtl", {"model": taught}),
):
    ARCHITECTURES.setdefault(_name, [{}]).append({**COLUMNS, "tasks": NUMBERS, **_more})

BACKBONES: dict[str, list[dict]] = {
    "efficientnet_cifar": [
        {"settings": schema.BackboneEfficientNetCIFARConfig(width=0.25, depth=0.5)}
    ],
    "cm": [
        {"settings": schema.BackboneCMConfig(tune=tune)}
        for tune in ("all", "head", {"last": 1}, {"lora": {"rank": 2}})
    ],
    "hf": [],  # in test_hf_backbone.py
    "none": [],  # no trunk
    "conv1d": [
        {
            "settings": schema.BackboneConv1dConfig(channels=(4, 8), dropout=0.1),
            "shapes": ((3, 1, 24), (1, 1, 9)),
        },
        {
            "settings": schema.BackboneConv1dConfig(channels=(4, 8), pool=1, norm="layer"),
            "shapes": ((2, 1, 8),),
        },
    ],
    "edsr": [{"settings": schema.BackboneEDSRConfig(blocks=2, width=4)}],
    "ktde": [{"settings": schema.BackboneKTDEConfig(blocks=2, width=4)}],
    "mlp": [
        {"settings": schema.BackboneMLPConfig(**more), "shapes": ((7, 1, 1), (2, 1, 6), (3, 4, 4))}
        for more in (
            {"widths": (8, 6)},
            {"widths": (8, 8, 6), "norm": "batch", "activation": "gelu", "dropout": 0.1},
            {"widths": (4,), "norm": "layer", "activation": "tanh"},
        )
    ],
    "segnet": [{"settings": SEGNET, "shapes": ((3, 32, 32), (1, 40, 34))}],
    "timm": [
        {"settings": schema.BackboneTimmConfig(model=model), "shapes": ((3, 32, 32), (1, 64, 32))}
        for model in (("resnet10t", "mobilenetv3_small_050") if find_spec("timm") else ())
    ],
    "torchvision": [
        {
            "settings": schema.BackboneTorchvisionConfig(model="squeezenet1_1"),
            "shapes": ((3, 32, 32),),
        }
    ],
    "vdsr": [{"settings": schema.BackboneVDSRConfig(depth=6, width=4)}],
    "wrn": [
        {
            "settings": schema.BackboneWRNConfig(depth=10, widen=1),
            "shapes": ((3, 16, 16), (1, 32, 24)),
        }
    ],
}


def suites(suite, kind, special):
    """Add a test class for each registered method and entry."""
    for name, settings in methods(kind).items():
        if settings.__module__.startswith("mtsearch."):
            for number, entry in enumerate(special.get(name, [{}])):
                attributes = {
                    "settings": entry["settings"] if "settings" in entry else settings(),
                    **entry,
                }
                yield f"Test_{kind}_{name}_{number}", type(suite.__name__, (suite,), attributes)


globals().update(suites(ArchitectureConformance, "architecture", ARCHITECTURES))
globals().update(suites(BackboneConformance, "backbone", BACKBONES))


def test_the_suite_has_a_task_of_each_kind():
    assert {task.kind for task in TASKS} == {"classification", "segmentation", "regression"}


class _Leaky(ArchitectureConformance):
    """An architecture without task-specific parts: every head reads the parts of all tasks."""

    settings = schema.HPSConfig()

    def model(self, seed=0):
        model = super().model(seed)
        first = model.heads["scene"]
        plain = model.decode
        model.decode = lambda x, shared, tasks=None: {
            n: v + 0 * first.weight.sum() for n, v in plain(x, shared, tasks).items()
        }
        return model


def test_suite_finds_leaks_between_tasks():
    with pytest.raises(AssertionError, match="a step on `pixels` reaches 1 parameters of `scene`"):
        _Leaky().test_single_task_step_leaves_other_tasks_untouched()

"""The dataset builders. Importing this package registers them."""

from mtsearch.data.builders import (
    array_folders,
    celeba,
    cifar10_mnist,
    classification,
    degraded,
    disjoint,
    drawn_scenes,
    handed,
    multimnist,
    scenes_masks,
    table,
    vectors,
)
from mtsearch.data.builders.base import (
    DATASET_BUILDERS,
    DatasetBuilder,
    SplitArrays,
    SplitSpec,
    check_classes,
    dataset_builder,
    need_tasks,
    read_source,
)

__all__ = [
    "DATASET_BUILDERS",
    "DatasetBuilder",
    "SplitArrays",
    "SplitSpec",
    "array_folders",
    "celeba",
    "check_classes",
    "cifar10_mnist",
    "classification",
    "dataset_builder",
    "degraded",
    "disjoint",
    "drawn_scenes",
    "handed",
    "multimnist",
    "need_tasks",
    "read_source",
    "scenes_masks",
    "table",
    "vectors",
]

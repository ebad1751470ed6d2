"""Why a folder or archive of images has none of the readable formats."""

from __future__ import annotations

from collections import Counter

from mtsearch.data.decoding import is_image
from mtsearch.data.formats.class_folders import SPLIT_FOLDERS
from mtsearch.data.trees import Tree


def explain_layout(tree: Tree) -> str:
    """Describe the first file that does not fit `<class>/<file>` or `<split>/<class>/<file>`, as a
    clause that ends a sentence about the tree."""
    images = [file for file in tree.files if is_image(file)]
    if not images:
        if not tree.files:
            return "contains no files"
        return f"has no image files ({len(tree.files):,} other files, such as {tree.files[0]})"
    depths = Counter(file.count("/") for file in images)
    usual = depths.most_common(1)[0][0]
    odd = next((file for file in images if file.count("/") != usual), None)
    if odd is not None:
        where = "beside the class folders" if odd.count("/") < usual else "in a sub-folder"
        return f"has the image {odd} {where}; move it out"
    folders = {file.rpartition("/")[0] for file in images}
    if len(folders) == 1:
        where = f"one folder, `{min(folders)}`" if min(folders) else "no class folders"
        return f"has all its images in {where}; sort them into one folder for each class"
    tops = {file.split("/")[-3] if usual > 1 else file.split("/")[-2] for file in images}
    splits = {top for top in tops if top.lower() in SPLIT_FOLDERS}
    if splits and splits != tops:
        return (
            f"has the folder `{min(splits)}` of a split beside `{min(tops - splits)}`; use"
            " `train`, `val` and `test` alone or none of them"
        )
    return (
        f"has the image {images[0]}, which fits neither `<class>/<file>` nor"
        " `train|val|test/<class>/<file>`"
    )

"""Whether the files that a store was made of are still those that lie there, judged by their names and sizes."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

from mtsearch.config.errors import BadInput
from mtsearch.data import store
from mtsearch.data.trees import Folder, Zip
from mtsearch.data.types import Resolved

_BESIDE = (".txt", ".md", ".html", ".htm", ".pdf", ".db", ".ini", ".log")  # files that no format reads
_STORES = "mtsearch/"  # may lie in the root, which may be the folder itself


def inventory(path: Path, *, shallow: bool = False) -> dict[str, Any]:
    """How many files a folder (a shallow one: only those directly in it) or a zip holds, their bytes in all, and a SHA-256 over names and
    sizes: the same for equal copies anywhere. A tar, which would have to be read to its end, counts as one file."""
    sizes = {name: size for name, size in _sizes(path, shallow).items() if not name.lower().endswith(_BESIDE)}
    lines = "".join(f"{size} {name}\n" for name, size in sorted(sizes.items()))
    found = {"count": len(sizes), "bytes": sum(sizes.values()), "sha256": hashlib.sha256(lines.encode()).hexdigest()}
    return {**found, "shallow": True} if shallow else found


def _sizes(path: Path, shallow: bool) -> dict[str, int]:
    if path.is_dir():
        return {name: (path / name).stat().st_size for name in Folder(path, shallow=shallow).files if not name.startswith(_STORES)}
    if path.name.lower().endswith(".zip"):
        names = set(Zip(path).files)
        with zipfile.ZipFile(path) as archive:
            return {info.filename: info.file_size for info in archive.infolist() if info.filename in names}
    return {path.name: path.stat().st_size}


def check_sources(found: Resolved) -> None:
    """Hold a prepared dataset against the files below its root. One that is not prepared, or whose files are not there, passes.

    Raises:
        BadInput: there are other files than those that the store was made of.
    """
    if found.checksum is None or found.card.embedded:
        return
    for source in store.read_manifest(found.store)["sources"].values():
        for place, then in source.get("files", {}).items():  # stores of before they were counted have none
            path = found.root / place
            if path.exists() and (now := inventory(path, shallow=then.get("shallow", False))) != then:
                more = f"{then['count']:,} then, {now['count']:,} now"
                same = f"{now['count']:,} then and now, of other names or sizes"
                raise BadInput(
                    f"The files of {source['title']} in {path} are not those that its store was made of "
                    f"({same if then['count'] == now['count'] else more}). Put them back, or delete the folder {found.store} to prepare "
                    "the dataset again."
                )

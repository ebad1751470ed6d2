"""A store is not used for other files than those that it was made of."""

import json
import shutil

import pytest
from fake import write_mnist, write_tree, write_zip
from scenes import csv_folds, encoded, picture, scene_files

from mtsearch import prepare
from mtsearch.config.errors import BadInput
from mtsearch.config.schema import DataConfig
from mtsearch.data import check_sources, load_card, resolve, store
from mtsearch.data import prepare as build
from mtsearch.data.inventory import inventory

FILES = scene_files(load_card("rsscn7"), per_class=5)
ONE = next(iter(FILES))


def opened(root, **changes):
    """The configuration of a set that is prepared."""
    data = DataConfig(dataset="rsscn7", root=root, size=8, **changes)
    build(data)
    check_sources(resolve(data))
    return data


def said(data):
    with pytest.raises(BadInput) as error:
        check_sources(resolve(data))
    return str(error.value)


def test_files_that_come_go_or_change_are_noticed_and_other_files_are_not(tmp_path):
    write_tree(tmp_path, FILES)
    data = opened(tmp_path)
    write_tree(tmp_path, {"RSSCN7/README.md": b"about", "RSSCN7/.hidden": b"x", "elsewhere/a.png": picture(1)})
    check_sources(resolve(data))
    (tmp_path / ONE).unlink()
    assert f"RSSCN7 in {tmp_path / 'RSSCN7'} are not those that its store was made of (35 then, 34 now)" in said(data)
    assert f"Put them back, or delete the folder {resolve(data).store} to prepare the dataset again." in said(data)
    write_tree(tmp_path, {ONE: FILES[ONE]})
    check_sources(resolve(data))
    (tmp_path / ONE).rename((tmp_path / ONE).with_name("other.png"))
    assert "(35 then and now, of other names or sizes)" in said(data)
    write_tree(tmp_path, {ONE: FILES[ONE]})
    assert "(35 then, 36 now)" in said(data)
    (tmp_path / ONE).with_name("other.png").unlink()
    (tmp_path / ONE).write_bytes(FILES[ONE] + b" ")
    assert "of other names or sizes" in said(data)
    shutil.rmtree(resolve(data).store)
    opened(tmp_path)


def test_a_copy_elsewhere_a_store_alone_and_an_old_store_serve_as_before(tmp_path):
    write_tree(tmp_path / "a", FILES)
    opened(tmp_path / "a", store=tmp_path / "stores")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    opened(tmp_path / "b", store=tmp_path / "stores")
    (tmp_path / "none").mkdir()
    opened(tmp_path / "none", store=tmp_path / "stores")
    write_tree(tmp_path / "other", dict(list(FILES.items())[:30]))
    data = DataConfig(dataset="rsscn7", root=tmp_path / "other", size=8, store=tmp_path / "stores")
    assert "(35 then, 30 now)" in said(data)
    path = resolve(data).store / store.MANIFEST
    path.chmod(0o644)
    manifest = json.loads(path.read_text())
    del manifest["sources"]["images"]["files"]
    path.write_text(json.dumps(manifest))
    check_sources(resolve(data))


def test_archives_and_lists_of_folds_count_too(tmp_path):
    lists = encoded(csv_folds(load_card("rsscn7"), FILES))
    write_zip(tmp_path / "RSSCN7.zip", FILES)
    write_tree(tmp_path / "RSSCN7_folds", lists)
    data = opened(tmp_path, fold=1)
    name, content = next(iter(lists.items()))
    write_tree(tmp_path / "RSSCN7_folds", {name: content + b"\n"})
    assert f"in {tmp_path / 'RSSCN7_folds'} are not those" in said(data)
    write_tree(tmp_path / "RSSCN7_folds", {name: content})
    check_sources(resolve(data))
    write_zip(tmp_path / "RSSCN7.zip", dict(list(FILES.items())[1:]))
    assert f"in {tmp_path / 'RSSCN7.zip'} are not those that its store was made of (35 then, 34 now)" in said(data)


def test_stores_in_the_root_are_no_part_of_it_and_a_tar_counts_as_one_file(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw")
    data = DataConfig(dataset="multimnist", root=tmp_path / "MNIST")
    build(data)
    check_sources(resolve(data))
    (tmp_path / "a.tar.gz").write_bytes(b"12345")
    assert (inventory(tmp_path / "a.tar.gz")["count"], inventory(tmp_path / "a.tar.gz")["bytes"]) == (1, 5)
    assert inventory(tmp_path, shallow=True) | {"shallow": 0} == inventory(tmp_path / "a.tar.gz") | {"shallow": 0}


def test_prepare_says_where_files_are_and_refuses_others(tmp_path, capsys):
    write_tree(tmp_path, FILES)
    words = ["dataset=rsscn7", f"data.root={tmp_path}", "data.size=8"]
    assert prepare.main(words) == 0
    assert f"source    RSSCN7: {tmp_path / 'RSSCN7'} (" in capsys.readouterr().out
    (tmp_path / ONE).unlink()
    assert prepare.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "(35 then, 34 now)" in shown.err

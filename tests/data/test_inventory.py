"""A store is refused for other files than those that it was built from."""

import json
import shutil

import pytest
import yaml
from fake import write_mnist, write_tar, write_tree, write_zip
from scenes import csv_folds, encoded, picture, scene_files

from mtsearch.commands import prepare
from mtsearch.config.errors import BadInput
from mtsearch.config.reading import load_space
from mtsearch.config.schema import DataConfig
from mtsearch.data import check_sources, load_card, resolve, store
from mtsearch.data import prepare as build
from mtsearch.data.archives import open_tree
from mtsearch.data.inventory import inventory
from mtsearch.jobs.environment import concrete_data, environment_of

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


def test_added_removed_and_changed_files_are_detected(tmp_path):
    write_tree(tmp_path, FILES)
    data = opened(tmp_path)
    write_tree(
        tmp_path,
        {"RSSCN7/README.md": b"about", "RSSCN7/.hidden": b"x", "elsewhere/a.png": picture(1)},
    )
    check_sources(resolve(data))
    (tmp_path / ONE).unlink()
    assert (
        f"RSSCN7 in {tmp_path / 'RSSCN7'} are not those that its store was built from (35 then, 34"
        " now)" in said(data)
    )
    assert (
        f"Put them back, or delete the folder {resolve(data).store} to prepare the dataset again."
        in said(data)
    )
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


def test_notes_runs_and_stores_are_not_counted(tmp_path):
    write_tree(tmp_path, FILES)
    inside = tmp_path / "RSSCN7"
    data = opened(tmp_path, store=inside / "stores")
    write_tree(
        inside, {"card.yaml": b"name: x", "runs/1/run.json": b"{}", "runs/1/front.csv": b"a,b"}
    )
    opened(inside, store=inside / "stores")
    (tmp_path / ONE).unlink()
    assert "(35 then, 34 now)" in said(data)


def test_copies_and_old_stores_are_accepted(tmp_path):
    write_tree(tmp_path / "a", FILES)
    opened(tmp_path / "a", store=tmp_path / "stores")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    opened(tmp_path / "b", store=tmp_path / "stores")
    data = elsewhere(tmp_path, dict(list(FILES.items())[:30]))
    assert "(35 then, 30 now)" in said(data)
    path = resolve(data).store / store.MANIFEST
    path.chmod(0o644)
    manifest = json.loads(path.read_text())
    del manifest["sources"]["images"]["made_of"]
    path.write_text(json.dumps(store.with_checksum(manifest)))
    check_sources(resolve(data))


def elsewhere(tmp_path, files, archive=None):
    """The configuration of the same store with another root, which holds these files."""
    root = tmp_path / "elsewhere"
    root.mkdir()
    if archive:
        (write_zip if archive.lower().endswith(".zip") else write_tar)(root / archive, files)
    else:
        write_tree(root, files)
    return DataConfig(dataset="rsscn7", root=root, size=8, store=tmp_path / "stores")


@pytest.mark.parametrize("root", [".", "RSSCN7"])
def test_a_store_alone_is_accepted(tmp_path, root):
    write_tree(tmp_path / "a", FILES)
    opened(tmp_path / "a" / root, store=tmp_path / "stores")
    check_sources(resolve(elsewhere(tmp_path, {"other.csv": b"a,b", "UCMerced.zip": b"none"})))
    check_sources(
        resolve(
            DataConfig(
                dataset="rsscn7", root=tmp_path / "stores", size=8, store=tmp_path / "stores"
            )
        )
    )


def test_renamed_and_archived_sets_are_accepted(tmp_path):
    write_tree(tmp_path / "a", FILES)
    opened(tmp_path / "a", store=tmp_path / "stores")
    fewer = dict(list(FILES.items())[:30])
    for files, refused in ((FILES, False), (fewer, True)):
        lower = {name.replace("RSSCN7", "rsscn7"): content for name, content in files.items()}
        for content, archive in ((lower, None), (files, "RSSCN7.zip"), (lower, "rsscn7.ZIP")):
            data = elsewhere(tmp_path, content, archive)
            if refused:
                assert "(35 then, 30 now)" in said(data)
            else:
                check_sources(resolve(data))
            shutil.rmtree(data.root)


def test_changed_archives_are_detected_and_copies_accepted(tmp_path):
    write_zip(tmp_path / "RSSCN7.zip", FILES)
    opened(tmp_path, store=tmp_path / "stores")
    check_sources(resolve(elsewhere(tmp_path, FILES, "rsscn7.zip")))
    write_zip(tmp_path / "RSSCN7.zip", dict(list(FILES.items())[1:]))
    data = DataConfig(dataset="rsscn7", root=tmp_path, size=8, store=tmp_path / "stores")
    assert (
        f"in {tmp_path / 'RSSCN7.zip'} are not those that its store was built from (35 then, 34"
        " now)" in said(data)
    )


def test_a_tar_counts_as_one_file(tmp_path, monkeypatch):
    write_tar(tmp_path / "RSSCN7.tar", FILES)
    data = opened(tmp_path, store=tmp_path / "stores")
    with monkeypatch.context() as patch:
        patch.setattr("tarfile.open", lambda *given: 1 / 0)
        check_sources(resolve(data))
    check_sources(resolve(elsewhere(tmp_path, dict(list(FILES.items())[:30]))))
    write_tar(tmp_path / "RSSCN7.tar", {**FILES, "RSSCN7/x.txt": bytes(100_000)})
    assert (
        f"in {tmp_path / 'RSSCN7.tar'} are not those that its store was built from (1 then and now"
        in said(data)
    )


@pytest.mark.parametrize("folder", ["RSSCN7", "RSSCN7_folds"])
def test_fold_lists_count_only_with_a_fold(tmp_path, folder):
    lists = {
        f"{folder}/{name}": content
        for name, content in encoded(csv_folds(load_card("rsscn7"), FILES)).items()
    }
    write_tree(tmp_path, {**FILES, **lists})
    data, whole = opened(tmp_path, fold=1), opened(tmp_path)
    name, content = next(iter(lists.items()))
    write_tree(tmp_path, {name: content + b"\n"})
    assert f"in {tmp_path / folder} are not those" in said(data)
    check_sources(resolve(whole))
    write_tree(tmp_path, {name: content})
    check_sources(resolve(data))
    for name in lists:
        (tmp_path / name).unlink()
    assert f"of RSSCN7 in {tmp_path / 'RSSCN7'} are not those" in said(data)
    shutil.rmtree(resolve(data).store)
    opened(tmp_path, fold=1)  # drawn by rotation
    write_tree(tmp_path, lists)
    assert f"in {tmp_path / folder} are not those" in said(data)


def test_only_the_table_of_labels_counts(tmp_path):
    pictures = {f"things/{n % 3}/{n}.png": picture(n) for n in range(12)}
    table = "path,shape\n" + "".join(f"{n % 3}/{n}.png,{n % 3}\n" for n in range(12))
    write_tree(tmp_path, {**pictures, "things/labels.csv": table.encode()})
    member = {
        "kind": "table",
        "images": {"title": "Things", "names": ["things"], "test_fraction": 0.25},
    }
    for name, source in (
        ("alone", member),
        ("member", {"kind": "disjoint", "members": [{"source": member, "tasks": ["shape"]}]}),
    ):
        card = {
            "name": name,
            "title": name,
            "source": source,
            "tasks": [{"name": "shape", "outputs": 3}],
            "shape": [3, 8, 8],
        }
        rest = {
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "val_fraction": 0.25,
            "licence": "none",
            "how_to_get": "make them",
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(card | rest))
        data = DataConfig(dataset=str(tmp_path / f"{name}.yaml"), root=tmp_path)
        build(data)
        write_tree(tmp_path, {"things/results.csv": b"a,b"})
        check_sources(resolve(data))
        write_tree(
            tmp_path, {"things/labels.csv": table.replace("0.png,0", "0.png,10", 1).encode()}
        )
        assert f"in {tmp_path / 'things'} are not those" in said(data)
        write_tree(tmp_path, {"things/labels.csv": table.encode()})
        check_sources(resolve(data))


def test_files_of_other_sets_are_not_counted(tmp_path):
    write_mnist(tmp_path)
    data = DataConfig(dataset="multimnist", root=tmp_path)
    build(data)
    write_tree(tmp_path, {"CIFAR.zip": b"none", "notes.csv": b"a,b"})
    check_sources(resolve(data))
    write_mnist(tmp_path, train=70)
    assert "(4 then and now, of other names or sizes)" in said(data)


def test_a_link_to_nowhere_is_no_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    (tmp_path / "b.png").symlink_to(tmp_path / "none")
    found = inventory(open_tree(tmp_path), ["a.png", "b.png"])
    assert (found["count"], found["bytes"]) == (1, 5)


def test_run_train_and_resume_refuse_changed_data(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw", train=200, test=60)
    given = load_space("pareto_mm", [f"data.root={tmp_path}"], "quick")
    _, facts = environment_of(given)
    concrete_data(given, facts)
    write_mnist(tmp_path / "MNIST" / "raw", train=190, test=60)
    begins = r"^The files of MNIST in .*/MNIST are not those .*\. Put them back, "
    with pytest.raises(
        BadInput, match=begins + "or delete the folder .* to prepare the dataset again\\.$"
    ):
        environment_of(given)
    with pytest.raises(
        BadInput, match=begins + "as a run continues only with its original data\\.$"
    ):
        concrete_data(given, facts)


def test_prepare_says_where_files_are_and_refuses_others(tmp_path, capsys):
    write_tree(tmp_path, FILES)
    words = ["dataset=rsscn7", f"data.root={tmp_path}", "data.size=8"]
    assert prepare.main(words) == 0
    assert f"source    RSSCN7: {tmp_path / 'RSSCN7'} (" in capsys.readouterr().out
    (tmp_path / ONE).unlink()
    assert prepare.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "(35 then, 34 now)" in shown.err

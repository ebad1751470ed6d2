import pytest
from PIL import Image

from mtsearch.commands import init, prepare
from mtsearch.commands.run import main as run
from mtsearch.config.reading import load_space


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = ["file,shape,size"]
    for number in range(30):
        Image.new("RGB", (16, 12), (8 * number, 0, 0)).save(folder / f"{number}.jpg")
        rows.append(f"{number}.jpg,{'ab'[number % 2]},{number / 10}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def test_init_writes_a_card_and_a_space(pictures, capsys):
    assert init.main(["pictures"]) == 0
    shown = capsys.readouterr().out
    assert "shape: classification, 2 classes" in shown and "of training for 20 trials" in shown
    space = load_space("pictures_space.yaml")
    assert [o.metric for o in space.config.objectives] == ["val/mean/error", "model/nonzero"]
    assert prepare.main(["dataset=pictures.yaml"]) == 0
    assert run(["space=pictures_space.yaml", "--dry-run"]) == 0
    assert init.main(["pictures"]) == 2 and "exists" in capsys.readouterr().err


def test_a_card_stands_for_its_space(pictures, capsys):
    assert prepare.main(["--new-card", "pictures/labels.csv", "to=cards"]) == 0
    assert run(["data=cards/pictures.yaml", "search.trials=3", "--cfg"]) == 0
    assert "trials: 3" in capsys.readouterr().out
    space = load_space("cards/pictures.yaml")
    assert space.config.data.dataset == str(pictures.parent / "cards" / "pictures.yaml")
    assert run(["data=no_such", "--cfg"]) == 2
    assert "unknown dataset `no_such`" in capsys.readouterr().err

"""Damaged cards of exports and damaged images: each ends in one sentence, or is read."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from PIL import Image

from mtsearch.config.errors import BadInput
from mtsearch.deploy.exported import open_export
from mtsearch.deploy.prediction_rows import RowMaker
from mtsearch.deploy.preprocessing import Preprocessing
from tests.fuzz.damage import damaged, damaged_bytes, damages

pytestmark = pytest.mark.slow
many = settings(
    max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parents[1] / "deploy"))
    from networks import TASKS, trained
    from test_prediction_table import dataset

    from mtsearch.deploy import export_model

    model, shape = trained("hps", "cm", TASKS)
    return export_model(
        model, dataset(shape, TASKS), TASKS, tmp_path_factory.mktemp("e") / "out", {}
    )


def test_damaged_cards_end_in_a_sentence(export, tmp_path):
    shutil.copytree(export, tmp_path / "e")
    card = json.loads((export / "card.json").read_text())
    short = {key: card[key] for key in ("tasks", "preprocess", "files")}

    @many
    @given(damaged([json.dumps(short)]))
    def check(text):
        (tmp_path / "e" / "card.json").write_text(text, errors="surrogatepass")
        try:
            RowMaker(open_export(tmp_path / "e", torch.device("cpu")), "m")
        except BadInput as error:
            assert "\n" not in str(error)

    check()


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "gif"])
def test_damaged_images_end_in_a_sentence(tmp_path, ending):
    steps = Preprocessing((3, 8, 8), "bilinear", "centre", (0.5,) * 3, (0.2,) * 3)
    Image.linear_gradient("L").resize((20, 30)).save(tmp_path / f"a.{ending}")
    content = (tmp_path / f"a.{ending}").read_bytes()

    @many
    @given(damages(len(content)))
    def check(edits):
        try:
            assert steps.pixels(damaged_bytes(content, edits), "a").shape == (3, 8, 8)
        except BadInput as error:
            assert "\n" not in str(error)

    check()

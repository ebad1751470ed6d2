"""Tables of a search whose configurations were trained with several seeds."""

import pyarrow.parquet as pq

from mtsearch.pareto import search_result
from mtsearch.reporting.markdown import control_differences, write_markdown
from mtsearch.reporting.notes import result_notes
from mtsearch.reporting.tables import write_csv, write_parquet
from tests.pareto.test_seeds import TWO, row, seeded


def result(*, seeds=3):
    """Two front points, of which `0001` is as good as the control in both objectives."""
    rows = [
        *seeded("0000", [(10, 9), (12, 9.5), (14, 10)][:seeds]),
        *seeded("0001", [(21, 5), (22, 4.5), (20, 5.5)][:seeds]),
        row("0002", 0, 40, 40),
        *seeded("stl", [(20, 5), (23, 5.5), (21, 4.5)][:seeds], control="stl"),
    ]
    return search_result(rows, [], TWO)


def test_means_stand_with_their_intervals(tmp_path):
    write_markdown(tmp_path / "front.md", result())
    text = (tmp_path / "front.md").read_text()
    assert "| 0000 | 12.00 ± 4.97 | 9.50 ± 1.24 |" in text
    assert "| 0001 ≈ |" in text
    assert "≈ marks points" in text
    assert "means over 3 seeds" in text


def test_differences_beyond_noise_are_bold():
    lines = control_differences(result()).splitlines()
    # 10 - 20, 12 - 23, 14 - 21: mean -9.33, s = 2.0817, half = 4.3026527 * s / sqrt(3) = 5.17
    # 9 - 5, 9.5 - 5.5, 10 - 4.5: mean 4.5, s = sqrt(0.75), half = 4.3026527 * s / sqrt(3) = 2.15
    assert lines[2] == "| 0000 | stl | **−9.33 ± 5.17** | +4.50 ± 2.15 |"
    # 21 - 20, 22 - 23, 20 - 21: mean -1 / 3, s = sqrt(4 / 3), half = 2.87
    assert lines[3].startswith("| 0001 ≈ | stl | −0.33 ± 2.87 |")


def test_tables_have_mean_half_width_and_number(tmp_path):
    write_parquet(tmp_path, result())
    front = pq.read_table(tmp_path / "front.parquet").to_pylist()
    assert [(r["trial"], r["seeds"], r["val/a/error"]) for r in front] == [
        ("0000", 3, 12.0),
        ("0001", 3, 21.0),
    ]
    assert all(r["ci95/val/a/error"] > 0 for r in front)
    assert len(pq.read_table(tmp_path / "seeds.parquet")) == 10
    assert len(pq.read_table(tmp_path / "trials.parquet")) == 4
    write_csv(tmp_path / "front.csv", result())
    head = (tmp_path / "front.csv").read_text().splitlines()[0].split(",")
    assert {"seeds", "ci95/val/a/error", "diff/stl/val/a/error"} <= set(head)


def test_one_seed_is_said(tmp_path):
    single = result(seeds=1)
    assert any(note.startswith("One seed per configuration") for note in result_notes(single))
    assert control_differences(single) == ""
    write_parquet(tmp_path, single)
    assert not (tmp_path / "seeds.parquet").exists()
    assert "seeds" not in pq.read_table(tmp_path / "trials.parquet").column_names


def test_intervals_of_two_seeds_are_remarked():
    notes = [note for note in result_notes(result(seeds=2)) if "12.7" in note]
    assert len(notes) == 1 and "0000, 0001 ≈, control stl come from 2 seeds" in notes[0]
    assert not any("12.7" in note for seeds in (1, 3) for note in result_notes(result(seeds=seeds)))

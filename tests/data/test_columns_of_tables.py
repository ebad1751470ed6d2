"""Tables by column."""

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtsearch.config.errors import BadInput
from mtsearch.data.array_inputs import ArrayInputs, is_numeric
from mtsearch.data.columns import columns_of, read_columns


def parquet(tmp_path, **columns):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return read_columns(tmp_path / "t.parquet", "t")


def test_large_whole_numbers_stay_different(tmp_path):
    numbers = [2**53, 2**53 + 1, None]
    table = parquet(tmp_path, a=numbers, b=pa.array([2**64 - 1, 1, 2], pa.uint64()))
    assert table.texts("a") == ["9007199254740992", "9007199254740993", ""]
    assert table.texts("b") == ["18446744073709551615", "1", "2"]
    assert is_numeric(table.cells["a"])
    values, wrong = ArrayInputs((1,), ("b",)).vectors(table)
    assert values[:, 0].tolist() == [2.0**64, 1, 2] and not wrong


def test_truth_values_are_equal_in_all_tables(tmp_path):
    flags = [True, None, False]
    (tmp_path / "t.csv").write_text("a,b\nTrue,1\n,1\nFalse,1\n")
    tables = [
        read_columns(tmp_path / "t.csv", "t"),
        parquet(tmp_path, a=flags),
        columns_of(pandas.DataFrame({"a": pandas.array(flags, dtype="boolean")}), "t"),
    ]
    known = ArrayInputs((2,), (), {"a": ("False", "True")})
    for table in tables:
        assert table.texts("a") == ["True", "", "False"]
        assert is_numeric(table.cells["a"])
        numbers, wrong = ArrayInputs((1,), ("a",)).vectors(table)
        np.testing.assert_array_equal(numbers[:, 0], [1, np.nan, 0])
        one_hot, wrong_too = known.vectors(table)
        np.testing.assert_array_equal(one_hot, [[0, 1], [np.nan] * 2, [1, 0]])
        assert not wrong and not wrong_too


def test_index_of_a_frame_is_no_column(tmp_path):
    frame = pandas.DataFrame({"a": [1, 2, 3]}, index=[7, 9, 4])
    frame.to_parquet(tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").num_columns == 2
    assert list(read_columns(tmp_path / "t.parquet", "t").cells) == ["a"]


def test_equal_column_names_are_refused():
    with pytest.raises(BadInput, match="the frame has two columns `a`; keep one"):
        columns_of(pandas.DataFrame([[1, 2]], columns=["a", "a"]), "the frame")

"""What is written into a folder."""

import pandas as pd

from bayes_clv.workflows.folders import write_table


def test_no_cell_of_a_csv_runs_as_a_formula_and_numbers_stay(tmp_path):
    table = pd.DataFrame(
        {
            "customer_id": ["=HYPERLINK(1)", "-5", "+49", "@SUM(A1)", "\t=1", "plain", "-a"],
            "value": [-1.5, 2.0, -3.0, 0.0, 1.0, 2.0, 3.0],
            "=cmd": ["a", "b", None, "d", "e", "f", "g"],
        }
    )
    write_table(table, tmp_path / "alarms.csv")
    read = pd.read_csv(tmp_path / "alarms.csv", dtype={"customer_id": str})
    assert read["customer_id"].tolist() == [
        "'=HYPERLINK(1)",
        "-5",
        "+49",
        "'@SUM(A1)",
        "'\t=1",
        "plain",
        "'-a",
    ]
    assert read["value"].tolist() == table["value"].tolist()
    assert read.columns.tolist() == ["customer_id", "value", "'=cmd"]
    assert read["'=cmd"].isna().tolist() == [False, False, True, False, False, False, False]
    write_table(table, tmp_path / "alarms.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "alarms.parquet"), table)

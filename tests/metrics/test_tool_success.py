"""Success under protocols as a command. Oracles: free fall in closed form, rates counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dexzoo.experiments.commands import evaluate as command
from dexzoo.experiments.reports.success import rates, write_success
from dexzoo.simulation.protocol import PROTOCOLS, load_protocol

from .given_grasps import COUNTS, Given

pytestmark = pytest.mark.usefixtures("own_cache")


def test_the_command_tests_every_grasp_under_every_protocol(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    """A ball above boxes holds nothing: they fall freely, but for grasps without a pose, which have no value."""
    paths = [str(given.grasps), "--mesh", str(given.meshes), "--hand", str(given.hand.spec.file), "--up", "z"]
    assert command.main([*paths, "--out", str(given.out), "--protocol", "realdex", "--no-sensitivity"]) == 0
    table = pq.read_table(given.out / "success.parquet").to_pydict()
    assert len(table["row"]) == sum(COUNTS.values())
    known = np.array([x for x in table["displacement_cm"] if x is not None])
    assert len(known) == len(table["row"]) - len(COUNTS)
    np.testing.assert_allclose(known, 980 * 0.002**2 * 73 * 74 / 2, rtol=1e-9)
    assert set(table["success"]) == {0.0, None}
    content = json.loads((given.out / "success.json").read_text())
    assert content["rates"][0] | {"success": 0.0, "low": 0.0, "high": 0.0, "pulls": 0.0} == content["rates"][0]
    assert content["protocols"][0]["load"]["acceleration"] == 9.8
    assert "| realdex | 15 | 0 % [0, 0] |" in (given.out / "success.md").read_text()
    assert "realdex" in capsys.readouterr().out


def test_a_protocol_that_is_not_there_is_named(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(given.grasps), "--mesh", str(given.meshes), "--out", str(given.out), "--protocol", "fixd"]
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 1
    assert "found 'fixd'" in capsys.readouterr().err


def test_rates_and_the_card_of_a_table_counted_by_hand(tmp_path) -> None:
    """Two objects of two grasps; with more friction one of them more passes."""
    rows = {
        "object": ["a", "a", "b", "b"] * 2,
        "protocol": ["squeeze"] * 8,
        "change": [""] * 4 + ["friction +20 %"] * 4,
        "success": [1.0, 0.0, None, 1.0, 1.0, 1.0, None, 1.0],
        "held": [1.0, 0.5, None, 1.0, 1.0, 1.0, None, 1.0],
    }
    table = pa.table(rows)
    lines = rates(table, ["squeeze"])
    assert [(line["change"], line["n"], round(line["success"], 3)) for line in lines] == [
        ("", 3, 0.667),
        ("friction +20 %", 3, 1.0),
    ]
    assert lines[0]["low"] < 0.667 < lines[0]["high"]
    assert lines[0]["pulls"] == pytest.approx(2.5 / 3)
    _, card = write_success(tmp_path, table, [load_protocol("squeeze")], {})
    assert card.cells == [["squeeze", "67 %", "-", "+33", "-", "-", "-", "-", "-"]]
    assert (tmp_path / "success.png").stat().st_size > 5000


def test_the_help_names_every_protocol() -> None:
    text = " ".join(command.parser().format_help().split())
    assert all(name in text for name in PROTOCOLS)

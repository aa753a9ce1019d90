"""The harness: ratios, JSON, and what it says of a wrong name or row."""

import json
import sys

import pytest

from dexzoo.experiments import bench, benchmark

SUITE = """
def rows(quick):
    return [
        {"case": "one", "ours_ms": 2.0, "peer": "peer", "peer_ms": 5.0, "batch": 64},
        {"case": "two" if quick else "slow", "ours_ms": 1.0, "peer": None, "peer_ms": None},
    ]
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(SUITE)
    monkeypatch.setattr(benchmark, "SUITES", tmp_path)
    monkeypatch.setattr(bench, "__path__", [str(tmp_path)])
    yield
    sys.modules.pop("dexzoo.experiments.bench.toy", None)


@pytest.mark.usefixtures("suite")
def test_table_and_json(tmp_path, capsys):
    benchmark.main(["toy", "--quick", "--json", str(tmp_path / "out.json")])
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result) == ["benchmark", "machine", "rows"]
    assert list(result["rows"][0]) == ["case", "ours_ms", "peer", "peer_ms", "ratio", "batch"]
    assert [row["ratio"] for row in result["rows"]] == [2.5, None]
    assert result["rows"][1]["case"] == "two"
    assert {"cpu", "cores", "threads", "torch"} <= set(result["machine"])
    assert "2.5" in capsys.readouterr().out


@pytest.mark.usefixtures("suite")
def test_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match=r"benchmark: expected one of toy, found 'tov'; did you mean 'toy'"):
        benchmark.measure("tov", quick=True)


def test_a_row_without_a_key_is_named():
    with pytest.raises(ValueError, match=r"row 'one': expected the keys .* found no 'peer_ms'"):
        benchmark.complete({"case": "one", "ours_ms": 1.0, "peer": "p"})

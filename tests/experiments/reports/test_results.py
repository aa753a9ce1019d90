"""The table of a run against numpy."""

import json
import math

import numpy as np
import pytest
from rich.console import Console

from dexzoo.experiments.reports import results

LABELS = {"variant": "full", "seed": 0, "fold": None, "hand": "shadow", "data": "demo data"}


@pytest.fixture
def rows() -> list[results.Row]:
    rng = np.random.default_rng(0)
    raw = [
        {"method": method, "refine": refine, "clip": f"clip_{i}", "mpjpe_cm": rng.gamma(2.0), "extra_deg": rng.normal()}
        for method, refine in (("motionnet", "off"), ("motionnet", "linear"), ("timed", "off"))
        for i in range(7)
    ]
    raw[3]["mpjpe_cm"] = math.nan
    return results.label_rows(raw, **LABELS)


def test_label_rows_puts_the_keys_first_and_keeps_every_row(rows):
    assert tuple(rows[0])[: len(results.KEYS)] == results.KEYS
    assert len(results.label_rows([*rows, rows[0]], **LABELS)) == len(rows) + 1


def test_summary_is_nanmean_and_sample_sd(rows):
    stats = results.summarise(rows)["motionnet"]["off"]["mpjpe_cm"]
    values = np.array([r["mpjpe_cm"] for r in rows if (r["method"], r["refine"]) == ("motionnet", "off")])
    assert stats["mean"] == pytest.approx(np.nanmean(values))
    assert stats["sd"] == pytest.approx(np.nanstd(values, ddof=1))
    assert stats["n"] == 6
    assert results.flat_summary(rows)["motionnet/off/mpjpe_cm"] == stats["mean"]


def test_mean_and_sd_of_one_and_of_no_value():
    assert results.mean_and_sd([2.0, math.nan]) == pytest.approx((2.0, math.nan, 1), nan_ok=True)
    assert results.mean_and_sd([]) == pytest.approx((math.nan, math.nan, 0), nan_ok=True)


def test_an_ablation_is_named_in_the_method():
    assert results.method_label({"method": "motionnet", "variant": "one_expert"}) == "motionnet (one_expert)"
    assert results.method_label({"method": "motionnet", "variant": "full"}) == "motionnet"
    assert results.method_label({"method": "timed", "variant": None}) == "timed"


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (1.234, 0.5, "1.23 ± 0.50"),
        (1.234, math.nan, "1.23"),
        (0.0123, 0.001, "0.012 ± 0.001"),
        (12.34, 0.52, "12.3 ± 0.5"),
        (math.nan, 1, "-"),
    ],
)
def test_format_spread(mean, sd, text):
    assert results.format_spread(mean, sd) == text


def test_table_has_a_line_per_method_and_refinement(rows):
    console = Console(width=150, record=True)
    console.print(results.results_table(rows, "run: demo data"))
    text = console.export_text()
    assert "run: demo data" in text
    assert text.count("motionnet") == 2
    assert text.count("timed") == 1
    assert results.format_spread(*results.mean_and_sd(r["mpjpe_cm"] for r in rows[-7:])[:2]) in text


def test_round_trip_and_json_without_nan(rows, tmp_path):
    parquet, metrics = results.write_results(tmp_path, rows, {"name": "run", "val/mpjpe_cm": math.nan})
    assert repr(results.read_results(parquet)) == repr(rows)
    content = json.loads(metrics.read_text(), parse_constant=pytest.fail)
    assert content["name"] == "run"
    assert content["val/mpjpe_cm"] is None
    assert content["summary"]["timed"]["off"]["mpjpe_cm"]["n"] == 7

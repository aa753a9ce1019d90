"""The table of a run against numpy."""

import json
import math

import numpy as np
import pytest
from rich.console import Console

from dexzoo.experiments.reports import results
from dexzoo.metrics import MPJPE

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
    assert results.flat_means(results.summarise(rows))["motionnet/off/mpjpe_cm"] == stats["mean"]


def test_mean_and_sd_of_one_and_of_no_value():
    assert results.mean_and_sd([2.0, math.nan]) == pytest.approx((2.0, math.nan, 1), nan_ok=True)
    assert results.mean_and_sd([]) == pytest.approx((math.nan, math.nan, 0), nan_ok=True)


def test_an_ablation_is_named_in_the_method():
    assert results.method_label({"method": "motionnet", "variant": "one_expert"}) == "motionnet (one_expert)"
    assert results.method_label({"method": "motionnet", "variant": "full"}) == "motionnet"
    assert results.method_label({"method": "timed", "variant": None}) == "timed"


def test_table_has_a_line_per_method_and_refinement(rows):
    console = Console(width=150, record=True)
    console.print(results.results_table(rows, "run: demo data"))
    text = console.export_text()
    assert "run: demo data" in text
    assert text.count("motionnet") == 2
    assert text.count("timed") == 1
    values = np.array([r["mpjpe_cm"] for r in rows[-7:]])
    assert f"{values.mean():.2f} ± {values.std(ddof=1):.2f}" in text


def test_cells_follow_the_unit_and_the_digits_of_the_metric() -> None:
    class Exact(MPJPE):
        digits = 4

    class Held(MPJPE):
        key, unit = "held", "share"

    line = {"mpjpe_cm": 1 / 3, "mpjpe_cm_sd": 0.2, "held": 0.526, "held_sd": 0.5, "held_low": 0.3, "held_high": 0.7}
    assert results.metric_cells([MPJPE, Exact, Held], line) == ["0.33 ± 0.20", "0.3333 ± 0.2000", "53 %\n[30, 70]"]
    line |= {"mpjpe_cm_low": 0.3, "mpjpe_cm_high": 0.36}
    assert results.metric_cells([MPJPE], line) == ["0.33 ± 0.20\n[0.30, 0.36]"]


def test_round_trip_and_json_without_nan(rows, tmp_path):
    parquet, metrics = results.write_results(tmp_path, rows, {"name": "run", "val/mpjpe_cm": math.nan})
    assert repr(results.read_results(parquet)) == repr(rows)
    content = json.loads(metrics.read_text(), parse_constant=pytest.fail)
    assert content["name"] == "run"
    assert content["val/mpjpe_cm"] is None
    assert content["summary"]["timed"]["off"]["mpjpe_cm"]["n"] == 7

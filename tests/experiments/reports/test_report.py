"""Merged tables against numpy and scipy."""

import csv
import itertools
import math

import numpy as np
import pytest
import scipy.stats

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.reports import report
from dexzoo.experiments.reports.results import label_rows, write_results


def _run(folder, seed, variant="full", shift=0.0, data="demo data", fold=None):
    rng = np.random.default_rng(seed)
    base = rng.gamma(2.0, size=20)
    model = base - 0.3 + shift + 0.1 * rng.normal(size=20)
    rows = []
    for method, values, ablation in (("motionnet", model, variant), ("timed", base, None)):
        raw = [{"method": method, "refine": "off", "clip": f"c{i}", "mpjpe_cm": float(x)} for i, x in enumerate(values)]
        raw = [{**row, "object": f"thing {row['clip']}"} for row in raw]
        rows += label_rows(raw, variant=ablation, seed=seed, fold=fold, hand="shadow", data=data, split_hash=f"{fold}")
    folder.mkdir(parents=True)
    write_results(folder, rows, {})
    return rows


def test_mean_over_clips_then_spread_over_seeds(tmp_path):
    runs = [_run(tmp_path / str(seed), seed) for seed in range(3)]
    lines = {line["method"]: line for line in report.merge(report.gather([tmp_path]))}
    means = [np.mean([r["mpjpe_cm"] for r in run if r["method"] == "motionnet"]) for run in runs]
    assert lines["motionnet"]["runs"] == 3
    assert lines["motionnet"]["mpjpe_cm"] == pytest.approx(np.mean(means))
    assert lines["motionnet"]["mpjpe_cm_sd"] == pytest.approx(np.std(means, ddof=1))
    assert math.isnan(lines["timed"]["difference"])


def test_paired_difference_is_taken_clip_by_clip_and_averaged_over_seeds(tmp_path):
    runs = [_run(tmp_path / str(seed), seed) for seed in range(3)]
    line = report.merge(report.gather([tmp_path]))[0]
    values = np.array([[r["mpjpe_cm"] for r in run] for run in runs])
    differences = (values[:, :20] - values[:, 20:]).mean(0)
    assert line["difference"] == pytest.approx(differences.mean())
    oracle = scipy.stats.bootstrap((differences,), np.mean, method="percentile", n_resamples=20_000, rng=1)
    width = np.ptp(oracle.confidence_interval)
    assert [line["ci_low"], line["ci_high"]] == pytest.approx([*oracle.confidence_interval], abs=0.05 * width)


def test_ablations_are_lines_and_their_common_baselines_one_line(tmp_path):
    for variant, shift in (("full", 0.0), ("one_expert", 0.2)):
        _run(tmp_path / variant, 0, variant, shift)
    lines = {line["method"]: line for line in report.merge(report.gather([tmp_path]))}
    assert list(lines) == ["motionnet", "timed", "motionnet (one_expert)"]
    assert lines["timed"]["runs"] == 1
    assert lines["motionnet (one_expert)"]["difference"] == pytest.approx(lines["motionnet"]["difference"] + 0.2)


def test_a_run_with_folds_counts_once(tmp_path):
    folds = [_run(tmp_path / f"fold_{k}", seed=k, fold=k) for k in range(2)]
    write_results(tmp_path, list(itertools.chain(*folds)), {})
    rows = report.gather([tmp_path])
    assert len(rows) == 80
    assert report.merge(rows)[0]["runs"] == 2


def test_runs_of_different_data_are_not_merged(tmp_path):
    _run(tmp_path / "a", 0)
    _run(tmp_path / "b", 1, data="RealDex")
    with pytest.raises(
        RunError, match=r"data: expected runs of the same data, .* 'demo data' in .*a and 'RealDex' in .*b"
    ):
        report.gather([tmp_path])


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(RunError, match=r"expected a run or a sweep with a results\.parquet, found none"):
        report.gather([tmp_path])


def test_files(tmp_path, capsys):
    _run(tmp_path / "run", 0)
    report.report([tmp_path / "run"], tmp_path / "out")
    markdown = (tmp_path / "out/report.md").read_text()
    assert markdown.startswith("# demo data, hand shadow, 20 test clips")
    assert markdown.count("| motionnet |") == 1
    lines = list(csv.DictReader((tmp_path / "out/report.csv").open()))
    assert float(lines[0]["mpjpe_cm"]) == report.merge(report.gather([tmp_path / "run"]))[0]["mpjpe_cm"]
    assert "report.md" in capsys.readouterr().out

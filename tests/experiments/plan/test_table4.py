"""Table 4: lines and tests against scipy and numbers by hand, the command, and the pictures of two small runs."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import scipy.stats
import torch
from rich.console import Console

from dexzoo.experiments import run
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.plan import table4
from dexzoo.experiments.reports import motion_figures, motion_tables
from dexzoo.experiments.reports.results import Row, label_rows, read_results, write_results
from dexzoo.experiments.training.load import load_run
from tests.verbs import status_of

CLIPS, SEEDS = 20, (0, 1)
SHIFT = {"motionnet": 0.0, "goal": 0.4, "saga": 0.02}


def make_rows(method: str, seed: int, modes=("off", "linear"), variant="full", **columns) -> list[Row]:
    """A run's rows: an error per clip that all methods share, the method's shift, and noise."""
    shared, rng = np.random.default_rng(99).gamma(2.0, size=CLIPS), np.random.default_rng([seed, len(method)])
    errors = shared + SHIFT.get(method, 1.0) + 0.1 * rng.normal(size=CLIPS)
    rows = []
    for mode in modes:
        values = errors if mode != "linear" else errors / 2
        for i, x in enumerate(values):
            row = {"method": method, "refine": mode, "clip": f"c{i:02}", "mpjpe_cm": float(x), "ave_cm2": float(x**2)}
            row |= {"object": f"thing {i:02}"}
            row |= {"vertex_offset_cm": 0.0 if mode == "linear" else float(x), "penetration_cm": math.nan}
            rows.append(row | columns)
    return label_rows(rows, variant=variant, seed=seed, fold=None, hand="shadow", data="demo data", split_hash="5f1e")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    made = [row for seed in SEEDS for method in ("motionnet", "goal") for row in make_rows(method, seed)]
    made += [row for seed in SEEDS for row in make_rows("saga", seed, ("off", "most_likely"))]
    return made + [row for seed in SEEDS for row in make_rows("timed", seed, ("off",), None)]


def values_of(rows, method, mode, metric="mpjpe_cm") -> np.ndarray:
    """(seeds, clips)."""
    found = [[r[metric] for r in rows if (r["method"], r["refine"], r["seed"]) == (method, mode, s)] for s in SEEDS]
    return np.array(found)


# ----------------------------------------------------------------------------------------------------------- statistics


def test_holm_by_hand():
    """Sorted 0.01 0.02 0.03 0.5, times 4 3 2 1: 0.04 0.06 0.06 0.5; 0.03 x 2 = 0.06 is not below its forerunner."""
    assert motion_tables.holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert motion_tables.holm([0.6, 0.7]) == [1.0, 1.0]
    assert motion_tables.holm([0.04]) == [0.04]
    # 0.011 x 2 = 0.022 is less than 0.01 x 3 = 0.03, which it then takes over
    assert motion_tables.holm([0.011, 0.01, 0.9]) == pytest.approx([0.03, 0.03, 0.9])


def test_holm_leaves_out_what_is_not_known():
    corrected = motion_tables.holm([0.02, math.nan, 0.03])
    assert corrected[::2] == pytest.approx([0.04, 0.04])
    assert math.isnan(corrected[1])


def test_wilcoxon_of_five_differences_by_hand():
    """All of five differences positive: the sum of negative ranks is 0, one of 2^5 signs, on either side: 2 / 32."""
    assert motion_tables.wilcoxon_p([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(2 / 32)
    # one negative, of the lowest rank: sums of 0 and 1 on either side, 4 / 32
    assert motion_tables.wilcoxon_p([-0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(4 / 32)
    assert motion_tables.wilcoxon_p([0.0, 0.0]) == 1.0
    assert math.isnan(motion_tables.wilcoxon_p([]))


def test_comparisons_pair_clips_of_one_mode_and_average_over_seeds(rows):
    found = motion_tables.compare(rows, "motionnet", ["mpjpe_cm"])
    assert [(c.mode, c.method) for c in found] == [
        *(("off", "goal"), ("off", "saga"), ("off", "timed"), ("linear", "goal"), ("most_likely", "saga"))
    ]
    p = []
    for c in found[:3]:
        d = (values_of(rows, c.method, "off") - values_of(rows, "motionnet", "off")).mean(0)
        interval = scipy.stats.bootstrap((d,), np.mean, method="percentile", n_resamples=20_000, rng=1)
        width = np.ptp(interval.confidence_interval)
        assert (c.clips, c.difference) == (CLIPS, pytest.approx(d.mean()))
        assert [c.low, c.high] == pytest.approx([*interval.confidence_interval], abs=0.06 * width)
        assert c.p == pytest.approx(scipy.stats.wilcoxon(d).pvalue)
        p.append(c.p)
    order = np.argsort(p)
    by_hand = np.maximum.accumulate(np.array(p)[order] * [3, 2, 1]).clip(max=1)
    assert np.array([c.p_holm for c in found[:3]])[order] == pytest.approx(by_hand)
    assert found[3].p_holm == found[3].p  # alone in its family
    beside_off = (values_of(rows, "saga", "most_likely") - values_of(rows, "motionnet", "off")).mean()
    assert found[4].difference == pytest.approx(beside_off)


def test_metrics_without_a_value_or_a_difference(rows):
    assert motion_tables.compare(rows, "motionnet", ["penetration_cm", "min_distance_error_cm"]) == []
    offsets = motion_tables.compare(rows, "motionnet", ["vertex_offset_cm"])
    (linear,) = [c for c in offsets if c.mode == "linear"]
    assert (linear.difference, linear.p, linear.p_holm) == (0.0, 1.0, 1.0)


def test_only_common_seeds_and_clips_are_paired(rows):
    some = [r for r in rows if r["method"] != "goal" or (r["seed"] == 1 and r["clip"] != "c03")]
    goal = motion_tables.compare(some, "motionnet", ["mpjpe_cm"])[0]
    d = (values_of(rows, "goal", "off") - values_of(rows, "motionnet", "off"))[1]
    assert (goal.clips, goal.difference) == (CLIPS - 1, pytest.approx(np.delete(d, 3).mean()))


# --------------------------------------------------------------------------------------------------------------- tables


def test_lines_are_by_mode_with_means_over_clips_then_seeds(rows):
    lines = motion_tables.lines_of(rows, {"goal": {"parameters": 2e6, "minutes": 3.0}})
    assert [(line["refine"], line["method"]) for line in lines] == [
        *(("off", name) for name in ("motionnet", "goal", "saga", "timed")),
        *(("linear", "motionnet"), ("linear", "goal"), ("most_likely", "saga")),
    ]
    means = values_of(rows, "goal", "linear").mean(1)
    assert (lines[5]["mpjpe_cm"], lines[5]["mpjpe_cm_sd"]) == pytest.approx((means.mean(), means.std(ddof=1)))
    assert (lines[5]["runs"], lines[5]["parameters"], lines[5]["minutes"]) == (2, 2e6, 3.0)
    assert math.isnan(lines[0]["parameters"])


def test_ablations_have_lines_of_their_own(rows):
    ablated = [row for seed in SEEDS for row in make_rows("motionnet", seed, ("off",), "no_attention")]
    lines = motion_tables.lines_of([*rows, *ablated], {})
    assert [line["method"] for line in lines if line["refine"] == "off"][-1] == "motionnet (no_attention)"
    found = motion_tables.compare([*rows, *ablated], "motionnet (no_attention)", ["mpjpe_cm"])
    assert [c.method for c in found if c.mode == "off"] == ["motionnet", "goal", "saga", "timed"]
    assert found[0].difference == pytest.approx(0)


def test_files_hold_the_lines_the_tests_and_the_published_rows_apart(rows, tmp_path):
    lines, tests = motion_tables.lines_of(rows, {}), motion_tables.compare(rows, "motionnet")
    files = motion_tables.write(tmp_path / "new", lines, tests, "demo data", "motionnet", {"clips": CLIPS})
    assert [file.name for file in files] == ["table4.md", "table4.csv", "table4.json"]
    text = files[0].read_text()
    assert text.startswith("# Table 4: demo data\n")
    ours, published = text.split("## RealDex, Table 4, as published")
    means = values_of(rows, "goal", "off").mean(1)
    assert f"| goal | off | 2 | {means.mean():.2f} ± {means.std(ddof=1):.2f} |" in ours
    assert f"| mpjpe_cm | off | goal | 20 | {tests[0].difference:+.2f} [{tests[0].low:+.2f}," in ours
    assert "| RealDex | SAGA | 1.84 | 0.1902 | 0.051 | 0.048 | 1.31 |" in published
    assert "SAGA" not in ours
    assert "read as m²·100" in published
    table = list(csv.DictReader(files[1].open()))
    assert float(table[1]["mpjpe_cm"]) == lines[1]["mpjpe_cm"]
    data = json.loads(files[2].read_text())
    assert (data["clips"], data["base"], len(data["tests"])) == (CLIPS, "motionnet", len(tests))
    assert data["lines"][0]["parameters"] is None  # NaN is no JSON


def test_the_screen_has_all_columns_whole(rows):
    full = [{**row, **dict.fromkeys(motion_tables.COLUMNS, 12.345)} for row in rows]
    costs = {"goal": {"parameters": 4.2e6, "minutes": 12.0}}
    screen = Console(width=200, record=True, file=io.StringIO())
    lines, tests = motion_tables.lines_of(full, costs), motion_tables.compare(rows, "motionnet")
    for table in motion_tables.tables(lines, tests, "demo data", "motionnet"):
        screen.print(table)
    text = screen.export_text()
    assert "…" not in text
    assert "4.20" in text
    assert "Paired tests against motionnet" in text


# ---------------------------------------------------------------------------------------------------------- the command


def test_rows_that_no_table_can_be_made_of_are_refused(rows):
    for change, message in (
        (
            {"base": "motionet"},
            r"base: expected a method of the runs \(motionnet, goal, saga, timed\), found 'motionet'",
        ),
        ({"key": "q1"}, "key: expected a metric of the runs .mpjpe_cm, ave_cm2, .*, found 'q1'"),
    ):
        with pytest.raises(RunError, match=message):
            table4.check_rows(rows, table4.Table4(**change))
    with pytest.raises(RunError, match="expected runs of motion models, found one without MPJPE"):
        table4.check_rows([{"method": "grasp_cvae", "q1": 1.0}], table4.Table4())


# ------------------------------------------------------------------------------------------------------- two small runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """MotionNet as small as can be, and a wider rival."""
    root = tmp_path_factory.mktemp("runs")
    small = ["experiment=smoke", "data.clips=24", "figures.percentiles=[]", "model.goal_refine=[off]"]
    small += ["model.network.n_points=8", "model.network.n_object_points=16", "baselines=[timed]"]
    with pytest.MonkeyPatch.context() as patch:
        for method, width in {"motionnet": 16, "rival": 32}.items():
            own = [f"model.method={method}", f"model.network.hidden={width}", f"hydra.run.dir={root / method}"]
            patch.setattr("sys.argv", ["run.py", *small, *own])
            run.main()
    return {method: root / method for method in ("motionnet", "rival")}


def test_a_run_says_what_it_cost(runs):
    facts = json.loads((runs["rival"] / "metrics.json").read_text())
    task, _ = load_run(runs["rival"])
    assert facts["parameters"] == sum(p.numel() for p in task.network.parameters())
    assert facts["method"] == "rival"
    assert 0 < facts["training_s"] < 60
    costs = table4.costs_of(table4.parts_of(runs.values()))
    assert costs["rival"] == {"parameters": facts["parameters"], "minutes": pytest.approx(facts["training_s"] / 60)}
    assert list(costs) == ["motionnet", "rival"]


def test_merging_runs_writes_the_table_and_pictures(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(motion_figures, "MOMENTS", 2)  # a picture takes a third of a second
    monkeypatch.setattr(motion_figures, "FILM_FPS", 1)
    given = f"runs=[{runs['motionnet']},{runs['rival']}]"
    assert status_of("table4", given, f"out={tmp_path}", "size=48", "beside=nothing") == 0
    names = ["table4.md", "table4.csv", "table4.json", "table.json", "error_over_time.png"]
    names += ["sheet_median.png", "film_median.gif", "sheet_worst.png"]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    printed = capsys.readouterr().out
    assert "Table 4: demo data, hand shadow" in printed
    assert all(f"{tmp_path}/{name}" in printed for name in names)
    films = imageio.imread(tmp_path / "film_median.gif")
    assert len(films) > 2
    lines = json.loads((tmp_path / "table4.json").read_text())["lines"]
    assert [line["method"] for line in lines][:3] == ["motionnet", "rival", "timed"]
    assert all(line["penetration_cm"] is not None for line in lines)


def test_pictures_show_the_rollouts_that_were_tested(runs):
    """Errors of the rollouts that the pictures are made of are those in the results, baselines likewise."""
    parts = {"motionnet": [runs["motionnet"]], "rival": [runs["rival"]]}
    hand, samples, rollouts = motion_figures.roll_out_all(parts, ["timed"])
    rows = read_results(runs["motionnet"] / "results.parquet") + read_results(runs["rival"] / "results.parquet")
    for method, clips in rollouts.items():
        errors = motion_figures.errors_of(rows, method, "mpjpe_cm", 0)
        assert errors
        for name in [*errors][:3]:
            truth = samples[name].pose.to(torch.float32)
            points, target = (hand.keypoints(hand.forward_kinematics(pose[1:])) for pose in (clips[name], truth))
            assert 100 * (points - target).norm(dim=-1).mean().item() == pytest.approx(errors[name], rel=1e-3)


def test_pictures_without_weights_or_common_clips_are_refused(runs, rows, tmp_path):
    with pytest.raises(RunError, match="expected checkpoints to draw pictures with, found none; size=0 draws none"):
        motion_figures.draw(tmp_path, {}, rows, "demo data", table4.Table4(beside=[], size=48))
    with pytest.raises(RunError, match="expected test clips that all methods have, found none"):
        motion_figures.draw(tmp_path, {"rival": [runs["rival"]]}, rows, "demo data", table4.Table4(beside=[], size=48))


def test_without_pictures_no_weights_are_needed(tmp_path):
    (tmp_path / "run").mkdir()
    write_results(tmp_path / "run", make_rows("motionnet", 0), {})
    assert status_of("table4", f"runs={tmp_path / 'run'}", f"out={tmp_path / 'out'}", "size=0") == 0
    files = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert files == ["table.json", "table4.csv", "table4.json", "table4.md"]

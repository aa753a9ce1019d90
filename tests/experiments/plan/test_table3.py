"""Table 3: statistics against numpy and scipy, merging, the command, and the page of grasps."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import trimesh
from rich.console import Console
from scipy.stats import bootstrap

from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.reports import grasp_figures, grasp_tables, published
from dexzoo.experiments.reports.grasp_results import gather, statistic, summarise
from dexzoo.experiments.reports.intervals import crossed_interval
from dexzoo.experiments.reports.results import Row
from dexzoo.hands import load_hand
from tests.verbs import status_of

NAN = math.nan


def make_row(method: str, seed: int, obj: str, i: int, refine: str = "off", **columns) -> Row:
    """A grasp of the resting Shadow hand, told from others by where it is."""
    rest = load_hand("shadow").rest.tolist()
    own = None if method == "ground truth" else "full"
    row: Row = {"method": method, "variant": own, "refine": refine, "seed": seed, "data": "demo data"}
    row |= {"hand": "shadow", "object": obj, "scale": 1.0, "candidate": i, "clip": f"{obj}@1/{i}", "kept": i != 0}
    row |= {"fold": None, "split_hash": "5f1e"}
    row |= {"drop_contact": i == 0, "drop_q1": False, "mesh": None, "pose": [0.01 * i, 0, 0, *np.eye(3).ravel(), *rest]}
    row["refine_fields"] = "cloud" if refine == "dexzoo" else "-"
    return row | columns


@pytest.fixture
def rows() -> list[Row]:
    """Two methods and the ground truth, 2 seeds x 3 objects x 4 grasps; one grasp without a depth."""
    rng = np.random.default_rng(0)
    made = [
        make_row(method, seed, obj, i, refine, penetration_cm=rng.gamma(2.0), six_success=float(i > 1))
        for method, refine in (("model", "off"), ("model", "dexzoo"))
        for seed in (0, 1)
        for obj in ("can", "mug", "duck")
        for i in range(4)
    ]
    made[5]["penetration_cm"] = NAN
    spread = {"can": 1.0, "mug": 2.0, "duck": NAN}
    for row in made:
        row["diversity_joints_deg"] = spread[row["object"]] + row["seed"]
        row["kept_diversity_joints_deg"] = 10 * spread[row["object"]] if row["kept"] else NAN
    return made


def write_run(folder: Path, rows: list[Row], *truth: Row) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([*rows, *truth]), folder / "results.parquet")
    (folder / "config.yaml").write_text("hand: shadow\n")
    return folder


def stat_of(line: Row, name: str) -> list[float]:
    """Mean, sd, low, high, n."""
    return [line[f"{name}{part}"] for part in ("", "_sd", "_low", "_high", "_n")]


def text_of(lines, title: str = "demo data") -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in grasp_tables.tables(lines, title):
        console.print(table)
    return console.export_text()


# ----------------------------------------------------------------------------------------------------------- statistics


def test_lines_are_means_over_grasps_before_and_after_the_filter(rows):
    lines = summarise(rows)
    assert [(x["method"], x["refine"], x["filter"]) for x in lines] == [
        *(("model", "off", "off"), ("model", "off", "on"), ("model", "dexzoo", "off"), ("model", "dexzoo", "on"))
    ]
    for line in lines:
        some = [r for r in rows if r["refine"] == line["refine"] and (r["candidate"] > 0 or line["filter"] == "off")]
        values = np.array([r["penetration_cm"] for r in some])
        mean, sd, low, high, n = stat_of(line, "penetration_cm")
        assert (mean, sd) == pytest.approx((np.nanmean(values), np.nanstd(values, ddof=1)))
        assert (line["grasps"], n) == (len(some), int((~np.isnan(values)).sum()))
        assert low < mean < high
        assert (line["dropped"], line["drop_contact"], line["drop_q1"]) == (0.25, 0.25, 0.0)
        assert line["six_success"] == pytest.approx(2 / 3 if line["filter"] == "on" else 1 / 2)


def test_a_spread_counts_once_per_seed_and_object(rows):
    """Spreads are 1 and 2 with seed 0, 2 and 3 with seed 1; those of the kept 10 and 20 twice; the duck has none."""
    everything, kept, *_ = summarise(rows)
    assert everything["diversity_joints_deg"] == pytest.approx(2)
    assert everything["diversity_joints_deg_n"] == 4
    assert kept["diversity_joints_deg"] == pytest.approx(15)
    assert not any(name.startswith("kept_") for name in kept)


def test_interval_of_objects_with_equally_many_grasps_is_scipys_of_their_means():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(12, 1)) + 0.1 * rng.normal(size=(12, 5))
    found = crossed_interval(values.ravel(), np.repeat(np.arange(12), 5).tolist(), [0] * 60)
    theirs = bootstrap((values.mean(1),), np.mean, method="percentile", n_resamples=10_000, rng=2).confidence_interval
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.03)
    plain = bootstrap((values.ravel(),), np.mean, method="percentile", n_resamples=2000, rng=2).confidence_interval
    assert found[1] - found[0] > 1.5 * (plain.high - plain.low)  # grasps of an object are not independent


def test_interval_of_uneven_cells_against_a_loop():
    rng = np.random.default_rng(3)
    objects, seeds = rng.integers(6, size=80), rng.integers(3, size=80)
    values = objects + 2.0 * seeds + rng.normal(size=80)
    values[::9] = NAN
    means = []
    for _ in range(4000):
        drawn, drawn_seeds = rng.integers(6, size=6), rng.integers(3, size=3)
        picked = [values[(objects == o) & (seeds == s)] for o in drawn for s in drawn_seeds]
        means.append(np.nanmean(np.concatenate(picked)))
    low, high = np.percentile(means, [2.5, 97.5])
    assert crossed_interval(values, objects.tolist(), seeds.tolist()) == pytest.approx((low, high), abs=0.25)


@pytest.mark.parametrize(("values", "objects"), [([1.0, 2.0], "aa"), ([1.0, NAN], "ab"), ([], "")])
def test_no_interval_for_fewer_than_two_objects(values, objects):
    assert all(map(math.isnan, crossed_interval(np.array(values), list(objects), [0] * len(values))))


def test_a_filter_that_keeps_nothing_leaves_dashes(rows):
    lines = summarise([{**row, "kept": False, "drop_contact": True} for row in rows])
    assert lines[1]["grasps"] == 0
    for name in ("penetration_cm", "six_success", "diversity_joints_deg"):
        assert (str(lines[1][name]), lines[1][f"{name}_n"]) == ("nan", 0)
    assert "drops 100 %" in text_of(lines)


def test_statistic_of_a_column_that_some_rows_lack(rows):
    assert statistic([{**rows[0], "q1": 0.5}, {**rows[1], "q1": None}, rows[2]], "q1")["q1_n"] == 1


# ------------------------------------------------------------------------------------------------------------ gathering


def test_ground_truth_of_all_runs_is_shown_once_and_first(rows, tmp_path):
    runs = []
    for seed in (0, 1):
        truth = [make_row("ground truth", seed, "can", i, "-", penetration_cm=0.1) for i in range(3)]
        runs.append(write_run(tmp_path / str(seed), [r for r in rows if r["seed"] == seed], *truth))
    merged = gather(runs)
    assert [r["method"] for r in merged[:4]] == ["ground truth"] * 3 + ["model"]
    assert {r["seed"] for r in merged[:3]} == {None}
    assert len(merged) == 3 + len(rows)
    assert repr(gather([*runs, runs[0]])) == repr(merged)  # NaN differs from itself


def test_runs_that_cannot_be_merged_are_refused(rows, tmp_path):
    first = write_run(tmp_path / "first", rows)
    felt = "refine.fields: expected runs with refine=dexzoo on the same fields, found 'cloud' and 'mesh'"
    later = [{**row, "seed": 9} for row in rows]
    for name, change, message in (
        (
            "again",
            rows,
            "first and .*again: expected each result in one run, found two of method model, refine off, seed 0",
        ),
        ("data", [{**row, "data": "GRAB"} for row in later], "data: expected runs of the same .* 'GRAB' in .*data"),
        ("hand", [{**row, "hand": "mano"} for row in later], "hand: expected runs of the same data, hand and split"),
        (
            "split",
            [{**row, "split_hash": "0ff"} for row in later],
            "split_hash: .* '5f1e' in .*first and '0ff' in .*split",
        ),
        (
            "mesh",
            [{**row, "seed": 9 + row["seed"], "refine_fields": "mesh"} for row in rows if row["refine"] == "dexzoo"],
            felt,
        ),
        ("motion", [{"method": "motionnet", "clip": "a"}], "expected rows of a grasp run, found no column 'variant'"),
    ):
        with pytest.raises(RunError, match=message):
            gather([first, write_run(tmp_path / name, change)])
    with pytest.raises(RunError, match=r"nowhere: expected a run .*, found none; is the run finished"):
        gather([tmp_path / "nowhere"])


def test_ground_truth_that_runs_measured_differently_is_refused(rows, tmp_path):
    truth = [make_row("ground truth", 0, "can", i, "-", penetration_cm=0.1) for i in range(3)]
    first = write_run(tmp_path / "first", rows, *truth)
    pose = [9.0, *truth[2]["pose"][1:]]
    for name, change, message in (
        (
            "moved",
            {"pose": pose},
            r"expected the same values in both, found pose .*object can.*candidate 2",
        ),
        ("kept", {"kept": False}, "found kept True and False"),
        ("depth", {"penetration_cm": 0.11}, "found penetration_cm 0.1 and 0.11"),
    ):
        other = [{**row, "seed": 1} for row in rows if row["seed"] == 0]
        with pytest.raises(RunError, match=message):
            gather(
                [first, write_run(tmp_path / name, [{**r, "seed": 2} for r in other], *truth[:2], truth[2] | change)]
            )


# --------------------------------------------------------------------------------------------------------------- tables


def test_exact_and_legacy_columns_are_in_tables_apart(rows, tmp_path):
    legacy = [{**row, "penetration_legacy_cm": 1.5} for row in rows]
    text = text_of(summarise(legacy), "title of the data")
    exact, flawed = text.split("As the field's scripts compute it")
    assert "title of the data" in exact
    assert "1.50 ± 0.00" not in exact
    assert "1.50 ± 0.00" in flawed
    assert "1.50 ± 0.00" not in flawed.split("as published")[1]
    files = {file.name: file for file in grasp_tables.write_table(tmp_path / "out", legacy, "title of the data")}
    assert set(files) == {"results.parquet", "table3.csv", "table3_legacy.csv", "table3.md"}
    lines = list(csv.DictReader(files["table3.csv"].open()))
    assert len(lines) == 4
    assert "penetration_legacy_cm" not in lines[0]
    stat = stat_of(summarise(rows)[0], "penetration_cm")
    found = [float(lines[0][f"penetration_cm{part}"]) for part in ("", "_sd", "_low", "_high", "_n")]
    assert found == pytest.approx(stat)
    assert float(next(csv.DictReader(files["table3_legacy.csv"].open()))["penetration_legacy_cm"]) == 1.5
    assert "## As the field's scripts compute it" in files["table3.md"].read_text()


def test_without_legacy_columns_there_is_no_legacy_table(rows, tmp_path):
    names = [file.name for file in grasp_tables.write_table(tmp_path, rows, "demo data")]
    assert names == ["results.parquet", "table3.csv", "table3.md"]
    assert "As the field's" not in text_of(summarise(rows))


def test_markdown_has_the_cells_of_the_lines_and_the_published_rows(rows, tmp_path):
    grasp_tables.write_table(tmp_path, rows, "demo data, 3 test objects")
    text = (tmp_path / "table3.md").read_text()
    mean, sd, low, high, _ = stat_of(summarise(rows)[0], "penetration_cm")
    cell = f"{mean:.2f} ± {sd:.2f}<br>[{low:.2f}, {high:.2f}]"
    assert text.startswith("# Table 3: demo data, 3 test objects\n")
    assert f"| model | off | off | 24 | {cell} | 50 %<br>[50, 50] |" in text
    assert "| model | dexzoo | 24 | 25 % | 25 % | 0 % |" in text
    assert published.TABLE3.caption in text
    assert "| GRAB | RealDex | 1.93 | 1.82 | 0.91 ± 1.35 | 2.40 |" in text


@pytest.mark.parametrize(("felt", "said"), [("cloud", "the observed cloud"), ("mesh", "the object's true mesh")])
def test_the_caption_says_what_the_refinement_and_the_filter_know(rows, tmp_path, felt, said):
    known = [{**row, "refine_fields": felt} if row["refine"] == "dexzoo" else row for row in rows]
    grasp_tables.write_table(tmp_path, known, "demo data")
    printed = " ".join(text_of(summarise(known)).split())
    for text in ((tmp_path / "table3.md").read_text(), printed):
        assert text.count("Refinement feels") == 1
        assert f"Refinement feels {said}, " in text
        assert "The filter judges grasps by the true mesh." in text
    assert {line["refine_fields"] for line in csv.DictReader((tmp_path / "table3.csv").open())} == {"-", felt}
    untouched = [row for row in rows if row["refine"] == "off"]
    assert "Refinement feels" not in text_of(summarise(untouched))


def test_rows_with_different_columns_are_all_written(rows, tmp_path):
    grasp_tables.write_table(tmp_path, [rows[0], {**rows[1], "q1": 0.25}], "demo data")
    assert pq.read_table(tmp_path / "results.parquet")["q1"].to_pylist() == [None, 0.25]


# ---------------------------------------------------------------------------------------------------------- the command


def test_merging_runs_writes_tables_and_pictures(rows, tmp_path, capsys):
    trimesh.creation.box([0.05] * 3).export(tmp_path / "cube.obj")
    some = [
        {**row, "mesh": str(tmp_path / "cube.obj")}
        for row in rows
        if (row["seed"], row["object"], row["refine"]) == (0, "can", "off")
    ]
    given = [f"runs={write_run(tmp_path / 'run', some)}", f"out={tmp_path / 'out'}", "key=penetration_cm"]
    assert status_of("table3", *given) == 0
    printed = capsys.readouterr().out
    assert "Table 3: demo data, hand shadow, 1 test objects" in printed
    for name in ("results.parquet", "table3.csv", "table3.md", "grasps.png"):
        assert f"{tmp_path}/out/{name}" in printed
        assert (tmp_path / "out" / name).is_file()


# ------------------------------------------------------------------------------------------------------------- pictures


def test_best_median_and_worst_go_by_the_direction_of_the_metric():
    rows = [{"q1": x, "penetration_cm": x} for x in (0.3, 0.1, 0.4, 0.2)]
    assert [r["penetration_cm"] for r in grasp_figures.ranked(rows, "penetration_cm")] == [0.1, 0.2, 0.4]
    assert [r["q1"] for r in grasp_figures.ranked(rows, "q1")] == [0.4, 0.3, 0.1]


def test_a_caption_says_what_drops_a_grasp_and_leaves_out_what_is_not_known():
    row = make_row("model", 2, "can", 0, penetration_cm=0.123, q1=NAN, six_success=0.0)
    assert grasp_figures.caption(row).split("\n") == [
        *("can, no. 0, seed 2", "0.12 cm deep, not held", "", "dropped: contact")
    ]


def test_pictures_of_rows_show_object_and_hand(tmp_path):
    """Beside a hand of one colour the object's yellow is there, and nothing else is coloured."""
    trimesh.creation.box([0.05] * 3).export(tmp_path / "cube.obj")
    rows = [make_row("m", 0, "can", i, mesh=str(tmp_path / "cube.obj"), q1=0.1 * i) for i in (1, 2)]
    path = grasp_figures.draw(
        tmp_path / "new" / "sheet.png", rows, "demo data", key="q1", size=80, hand=load_hand("shadow")
    )
    picture = imageio.imread(path)[..., :3].astype(int)
    red, blue = picture[..., 0], picture[..., 2]
    assert (red > blue + 30).sum() > 100
    assert (blue > red + 30).sum() > 100
    with pytest.raises(ValueError, match=r"key: expected a metric .*, found none: 'gap_cm'"):
        grasp_figures.draw(path, rows, "demo data", key="gap_cm", hand=load_hand("shadow"))


def test_pictures_of_grasps_of_a_cloud(tmp_path):
    hand = load_hand("shadow")
    path = grasp_figures.draw_on_cloud(
        tmp_path / "cloud.png", hand, hand.rest_pose(2), 0.1 + 0.01 * torch.rand(20, 3), "mug", size=80
    )
    assert (imageio.imread(path)[..., :3] < 250).any()

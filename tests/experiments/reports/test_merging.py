"""What a merge of runs refuses: results twice, baselines that differ, other splits, other clips."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from dexzoo.experiments import outcome
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.plan import table3, table4
from dexzoo.experiments.reports import report
from dexzoo.experiments.reports.results import Row, label_rows, write_results

CLIPS = ("a", "b", "c")


def make_run(folder: Path, model: float = 1.0, timed: float = 2.0, clips=CLIPS, **labels) -> Path:
    """A run of MotionNet and its baseline, with one error for all clips."""
    labels = {"seed": 0, "fold": None, "hand": "shadow", "data": "demo data", "split_hash": "5f1e", **labels}
    variant = labels.pop("variant", "full")
    rows: list[Row] = []
    for method, error, ablation in (("motionnet", model, variant), ("timed", timed, None)):
        raw = [{"method": method, "refine": "off", "clip": c, "object": "mug", "mpjpe_cm": error} for c in clips]
        rows += label_rows(raw, variant=ablation, **labels)
    folder.mkdir(parents=True)
    write_results(folder, rows, {})
    return folder


def test_one_result_in_two_runs_is_refused_and_both_are_named(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "small", 1.0), make_run(tmp_path / "large", 1.2)]
    message = r"small and .*large: expected each result in one run, found two of method motionnet, refine off, seed 0, "
    for merge in (report.gather, lambda given: table4.merge_runs(given, table4.Table4(size=0, out=str(tmp_path)))):
        with pytest.raises(RunError, match=message):
            merge(runs)


def test_a_copy_of_a_run_is_another_run_but_the_same_one_by_two_names_is_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "sweep" / "run")
    (tmp_path / "link").symlink_to(run)
    assert len(report.gather([run, tmp_path / "link", tmp_path / "sweep"])) == 6
    shutil.copytree(run, tmp_path / "copy")
    with pytest.raises(RunError, match="expected each result in one run"):
        report.gather([run, tmp_path / "copy"])


@pytest.mark.parametrize("change", [{"seed": 1}, {"variant": "no_object"}])
def test_seeds_and_ablations_are_results_of_their_own(tmp_path: Path, change) -> None:
    rows = report.gather([make_run(tmp_path / "a"), make_run(tmp_path / "b", **change)])
    assert len([row for row in rows if row["method"] == "motionnet"]) == 6


def test_a_baseline_counts_once_where_runs_agree_to_rounding(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a")
    rows = report.gather([first, make_run(tmp_path / "b", timed=2.00001, variant="no_object")])
    assert [row["mpjpe_cm"] for row in rows if row["method"] == "timed"] == [2.0] * 3
    with pytest.raises(RunError, match=r"a and .*c: .* found mpjpe_cm 2.0 and 2.01 \(method timed, refine off, seed 0"):
        report.gather([first, make_run(tmp_path / "c", timed=2.01, variant="no_object")])


def test_a_baseline_with_a_run_of_its_own_is_one_line(tmp_path: Path) -> None:
    own = make_run(tmp_path / "own", clips=CLIPS)
    rows = [{**row, "variant": "full"} for row in report.gather([own]) if row["method"] == "timed"]
    (tmp_path / "timed").mkdir()
    write_results(tmp_path / "timed", [{**row, "seed": 1} for row in rows], {})
    lines = report.merge(report.gather([own, tmp_path / "timed"]))
    assert [(line["method"], line["runs"]) for line in lines] == [("motionnet", 1), ("timed", 2)]


def test_other_splits_are_refused_fold_by_fold(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole")
    with pytest.raises(RunError, match=r"split_hash: .* '5f1e' in .*whole and '0ff' in .*other"):
        report.gather([whole, make_run(tmp_path / "other", seed=1, split_hash="0ff")])
    folds = [make_run(tmp_path / f"fold_{k}", fold=k, split_hash=f"f{k}") for k in range(2)]
    assert len(report.gather(folds)) == 12
    with pytest.raises(RunError, match=r"fold 1, split_hash: .* 'f1' in .*fold_1 and 'f9' in .*late"):
        report.gather([*folds, make_run(tmp_path / "late", fold=1, seed=1, split_hash="f9")])
    with pytest.raises(RunError, match=r"folds: .* False in .*whole and True in .*fold_0"):
        report.gather([whole, folds[0]])


def test_runs_that_were_tested_on_fewer_clips_are_refused(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", clips=("a", "b"), seed=1)]
    with pytest.raises(RunError, match="found 3 of motionnet, off, seed 0, 2 of motionnet, off, seed 1, and 2 in both"):
        report.gather(runs)


def test_a_run_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    rows = report.gather([make_run(tmp_path / "new")])
    (tmp_path / "old").mkdir()
    write_results(tmp_path / "old", [{k: v for k, v in row.items() if k != "split_hash"} for row in rows], {})
    with pytest.raises(
        RunError, match=r"old: .* found no column 'split_hash'; train=false ckpt=.*old tests its weights"
    ):
        report.gather([tmp_path / "old"])


def test_a_sweep_over_something_else_ends_without_a_report_and_says_why(tmp_path: Path, capsys) -> None:
    for number, error in enumerate((1.0, 1.2)):
        make_run(tmp_path / str(number), error)
    config = report.DictConfig({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    report.MultirunReport().on_multirun_end(config)
    printed = capsys.readouterr().out
    assert "no report" in printed
    assert "expected each result in one run" in printed
    assert not (tmp_path / "report.md").exists()


def test_rows_name_the_hand_and_not_the_path_that_was_typed(tmp_path: Path) -> None:
    """A user's hand comes by the path of its YAML; rows, poses and merges know it by its name."""
    hand = SimpleNamespace(name="claw")
    task = SimpleNamespace(
        hand=hand, method="grasp_flow", results=[{"method": "grasp_flow", "refine": "off", "clip": "a"}]
    )
    cfg = OmegaConf.create({"hand": "claw/claw.yaml", "seed": 0, "variant": "full", "data": {"fold": 2}})
    data = SimpleNamespace(title="demo data", split_hash="5f1e")
    (row,) = outcome.label_results(cfg, data, task, [])
    assert (row["hand"], row["split_hash"], row["fold"]) == ("claw", "5f1e", 2)


def test_the_hand_of_a_run_is_that_of_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"hand: {Path(__file__).parents[3]}/hands/specs/shadow.yaml\n")
    assert table3.hand_of(tmp_path).name == "shadow"
    with pytest.raises(RunError, match=r"nowhere: expected a run folder with a config\.yaml, found none"):
        table3.hand_of(tmp_path / "nowhere")

"""Outcome of a run: config, results, pictures, and the table it prints."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from dexzoo import __version__

from ..hands.bundle import copy_hand
from ..hands.load import load_hand
from ..metrics.tables import console
from ..metrics.tool.table_file import write_table
from ..models import Task
from .reports import figures, grasp_figures, grasp_results, grasp_tables, results
from .training import tracking
from .training.callbacks import EffectiveBatch, TrainingClock
from .training.folders import BEST
from .training.provenance import provenance
from .training.run_log import note_table


def save_config(cfg: DictConfig, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Writes config.yaml, with everything resolved and the key `provenance`, see `provenance.provenance`, into the run
    folder, and returns it as plain values. A hand of the user's is copied into `hand` there; the key `own_hand` says
    where its YAML is.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    plain["provenance"] = dict(origin)
    if rank_zero_only.rank == 0:
        folder = Path(cfg.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if copy := copy_hand(load_hand(cfg.hand).spec, folder / "hand"):
            plain["own_hand"] = str(copy.relative_to(folder))
        OmegaConf.save(OmegaConf.create(plain), folder / "config.yaml")
    return plain


def label_results(cfg: DictConfig, datamodule: Any, task: Task, baselines: Sequence[Task]) -> list[results.Row]:
    """The rows of all tasks with the columns that say what they belong to. An ablation is one of our model only."""
    fold = cfg.data.get("fold")
    labels = {"seed": cfg.seed, "hand": task.hand.name, "data": datamodule.title, "split_hash": datamodule.split_hash}
    labels["fold"] = fold if isinstance(fold, int) else None
    mine = [row for row in task.results if row["method"] == task.method]
    others = [row for t in (task, *baselines) for row in t.results if row["method"] != task.method]
    return results.label_rows(mine, variant=cfg.variant, **labels) + results.label_rows(others, variant=None, **labels)


@rank_zero_only
def write(
    cfg: DictConfig,
    datamodule: Any,
    task: Task,
    baselines: Sequence[Task],
    rows: Sequence[results.Row],
    score: float,
    loggers: Sequence[Logger],
    callbacks: Sequence[Callback],
) -> None:
    """Writes the results and pictures of one run, sends them to W&B and ends its run there."""
    folder = Path(cfg.run_dir)
    facts = {"name": cfg.name, "dexzoo": __version__, "data": datamodule.title, "is_demo": datamodule.is_demo}
    facts |= {"split_hash": datamodule.split_hash, "seed": cfg.seed, cfg.monitor: score, **costs(task, callbacks)}
    facts |= {"provenance": task.config["provenance"]}
    results.write_results(folder, rows, facts)
    pictures = draw(cfg, datamodule, task, baselines, rows) if cfg.figures.percentiles else []
    means = results.flat_means(results.summarise(results.with_filtered(rows)))
    tracking.log_outcome(loggers, task.config, means, rows, pictures, folder / BEST)
    tracking.finish()


def costs(task: Task, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """`method`, `parameters` (numbers trained), `training_s`, seconds, and the facts of `EffectiveBatch`.

    `training_s` is None where the run has no `TrainingClock`.
    """
    clock = next((callback for callback in callbacks if isinstance(callback, TrainingClock)), None)
    batches = [callback.facts for callback in callbacks if isinstance(callback, EffectiveBatch)]
    return {
        **(batches[0] if batches else {}),
        "method": task.method,
        "parameters": sum(p.numel() for p in task.network.parameters() if p.requires_grad),
        "training_s": None if clock is None else round(clock.seconds, 1),
    }


def draw(
    cfg: DictConfig, datamodule: Any, task: Task, baselines: Sequence[Task], rows: Sequence[results.Row]
) -> list[Path]:
    """The pictures of a test of motions or grasps, into `figures` of the run folder; none for contact maps."""
    folder = Path(cfg.run_dir) / "figures"
    if task.supports_rollouts:
        rollouts, own = {t.method: t.rollouts for t in (task, *baselines)}, task.rollouts  # those of this process
        headline = [row for row in task.results if row["refine"] == task.results[0]["refine"] and row["clip"] in own]
        errors = {row["clip"]: row["mpjpe_cm"] for row in headline}
        return figures.draw(folder, task.hand, datamodule.test, rollouts, errors, datamodule.title, cfg.figures)
    if task.supports_sampling:
        path, size = folder / "grasps.png", cfg.figures.size
        return [grasp_figures.draw(path, rows, datamodule.title, size=size, hand=task.hand)]
    return []


@rank_zero_only
def conclude(cfg: DictConfig, rows: Sequence[results.Row], merge: bool) -> None:
    """Prints the one table of a run and where its files are; with `merge`, writes the results of all folds first."""
    folder = Path(cfg.run_dir)
    if merge:
        facts = {"name": cfg.name, "dexzoo": __version__, "data": rows[0]["data"]}
        results.write_results(folder, rows, facts | {"provenance": provenance(sys.argv[1:], cfg)})
    n = len({(row["fold"], row["clip"]) for row in rows})
    out = console()
    title = f"{cfg.name}: {rows[0]['data']}, {n} {cfg.unit}"
    if "candidate" in rows[0]:
        lines = grasp_results.summarise(rows)
        tables, cells = grasp_tables.tables(lines, title), grasp_tables.text_lines(lines, grasp_tables.COLUMNS)
    else:
        table = results.results_table(rows, title)
        tables, cells = [table], (table.headings, table.cells)
    for table in tables:
        out.print(table)
        note_table(table)
    write_table(folder, title, *cells, rows[0]["data"], [cfg.seed])
    shown = _from_here(folder)
    out.print(f"results      {shown}/results.parquet, metrics.json, table.json", soft_wrap=True)
    out.print(f"checkpoint   {shown}/{'fold_*/' if merge else ''}{BEST}", soft_wrap=True)
    for path in sorted([*folder.glob("figures/*"), *folder.glob("fold_*/figures/*")]):
        out.print(f"picture      {_from_here(path)}", soft_wrap=True)


def _from_here(path: Path) -> Path:
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

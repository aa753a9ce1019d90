"""One run: `python experiments/run.py model=motionnet data=demo`, or `dexzoo run ...`. Reads from top to bottom."""

import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import dexzoo  # noqa: F401
except ModuleNotFoundError:
    sys.exit("dexzoo is not installed in this Python: run `make setup` and use .venv/bin/python, or `pip install -e .`")

from dexzoo.experiments.commandline.quick import answered

if __name__ == "__main__" and (status := answered(sys.argv[1:])) is not None:
    sys.exit(status)  # before what takes seconds to import

import hydra
import lightning as L
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from dexzoo.experiments import outcome
from dexzoo.experiments.commandline.arguments import check_kinds, quoted
from dexzoo.experiments.commandline.errors import RunError
from dexzoo.experiments.commandline.explain import plain_errors
from dexzoo.experiments.commandline.keys import keyed
from dexzoo.experiments.reports.results import Row
from dexzoo.experiments.training import tracking
from dexzoo.experiments.training.data import build_data, notes_on_defaults
from dexzoo.experiments.training.folders import BEST, checkpoint_to_resume, find_checkpoint
from dexzoo.experiments.training.load import load_contact, load_weights
from dexzoo.experiments.training.provenance import provenance
from dexzoo.experiments.training.run_log import RunLog, Stopped, interruptible, note, recorded
from dexzoo.metrics.tables import console
from dexzoo.models import Task
from dexzoo.models.precision import check_precision


def run(cfg: DictConfig) -> float:
    """One run, or one per fold of the data; returns the validation metric `monitor`, for sweeps: mean over folds, NaN
    where the data have no validation clips.
    """
    tracking.quieten()
    log = RunLog()
    with recorded(Path(cfg.run_dir), log, Path(str(cfg.runs))), keyed(cfg):
        check_kinds(cfg)
        refuse_sweep_over_processes(cfg)
        refuse_two_weights(cfg)
        check_precision(cfg.trainer.precision)
        if cfg.action:
            score = hydra.utils.get_method(cfg.action)(cfg)
            outcome.save_config(cfg, provenance(sys.argv[1:], cfg))
            return score
        say_defaults(cfg)
        folds = build_data(cfg.data).fold_ids() if cfg.data.get("fold") == "all" else [None]
        parts = [run_one(cfg, fold, log) for fold in folds]
        outcome.conclude(cfg, [row for rows, _ in parts for row in rows], merge=len(folds) > 1)
        return sum(score for _, score in parts) / len(parts)


def run_one(cfg: DictConfig, fold: int | None, log: RunLog) -> tuple[list[Row], float]:
    """Builds, checks, trains, tests and writes; returns the rows of the results and the validation metric."""
    if fold is not None:
        cfg = cfg.copy()
        cfg.data.fold, cfg.run_dir = fold, f"{cfg.run_dir}/fold_{fold}"
    folder = Path(cfg.run_dir)

    # build
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule, task = build_data(cfg.data), instantiate(cfg.model, hand=cfg.hand)
    baselines = [
        instantiate(hydra.compose(f"model/{name}").model, hand=cfg.hand, given_frames=task.given_frames)
        for name in cfg.baselines
    ]
    callbacks = [*(instantiate(c) for c in cfg.callbacks.values()), log]
    trainer: L.Trainer = instantiate(cfg.trainer, logger=False, callbacks=callbacks)

    # check: what is wrong up to here leaves nothing behind
    for each in (task, *baselines):
        each.accept(datamodule)
    load_start(cfg, task, trainer.is_global_zero)
    best = find_checkpoint(folder if cfg.ckpt == "last" else cfg.ckpt) if cfg.ckpt and not cfg.train else None
    resume = checkpoint_to_resume(cfg.ckpt, folder) if task.trainable and cfg.train else None
    # tells in plain words what does not fit; Lightning restores the rest
    start = load_weights(task, found) if task.trainable and (found := best or resume) else {}
    if task.trainable and not (cfg.train or best or cfg.init_from or cfg.official_weights):
        raise RunError("train=false: expected weights to evaluate, found none; set ckpt=RUN_FOLDER or ckpt=FILE")
    task.check_ready()
    datamodule.setup()

    # begin
    task.config = outcome.save_config(cfg, provenance(sys.argv[1:], cfg, datamodule))
    trainer.loggers = loggers = tracking.build_loggers(cfg)
    tracking.say_where_wandb_stands(loggers)
    note(f"{task.config['provenance']['command']}, commit {task.config['provenance']['code']['commit']}")

    # train
    if task.trainable and cfg.train:
        tracking.carry_on(loggers, start.get("global_step"))
        with interruptible(trainer):
            trainer.fit(task, datamodule, ckpt_path=resume, weights_only=True)
        best = folder / BEST if (folder / BEST).exists() else None  # without validation clips: the last weights

    # test, and the baselines on the same clips
    with interruptible(trainer):
        trainer.test(task, datamodule, ckpt_path=best, weights_only=True, verbose=False)
    if best != folder / BEST:
        trainer.save_checkpoint(folder / BEST)
    score = evaluate_beside(cfg, datamodule, task, baselines, [c for c in callbacks if isinstance(c, ProgressBar)])

    # write
    rows = outcome.label_results(cfg, datamodule, task, baselines)
    outcome.write(cfg, datamodule, task, baselines, rows, score, loggers, callbacks)
    return rows, score


def evaluate_beside(
    cfg: DictConfig, datamodule: L.LightningDataModule, task: Task, baselines: Sequence[Task], bars: list[ProgressBar]
) -> float:
    """Validates the task and tests the baselines, outside the curves of the run; returns the validation metric."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": bool(bars)}
    evaluator: L.Trainer = instantiate(cfg.trainer, **quiet, callbacks=bars)
    with interruptible(evaluator):
        evaluator.validate(task, datamodule, verbose=False)
        score = float(evaluator.callback_metrics.get(cfg.monitor, "nan"))
        for baseline in baselines:
            evaluator.test(baseline, datamodule, verbose=False)
    return score


def load_start(cfg: DictConfig, task: Task, tell: bool) -> None:
    """Fills a task with its first weights: published ones, a contact predictor's, those of another run."""
    if cfg.official_weights:
        report = task.load_published(cfg.official_weights, with_contact=not cfg.contact_from)
        if tell:
            console().print(f"official     {report}", soft_wrap=True)
    if cfg.contact_from:
        load_contact(task, cfg.contact_from)
    if cfg.init_from:
        load_weights(task, cfg.init_from)


@rank_zero_only
def say_defaults(cfg: DictConfig) -> None:
    """Names the defaults of the data and the hand that the command does not name, on the screen and in run.log."""
    for line in notes_on_defaults(cfg):
        console().print(f"[yellow]note         {line}[/]", soft_wrap=True)
        note(line)


def refuse_two_weights(cfg: DictConfig) -> None:
    """Stops a run that is told to start from the weights of two files."""
    others = {"init_from": cfg.init_from, "ckpt": cfg.ckpt if not cfg.train else None}
    given = [f"{key}={value}" for key, value in others.items() if value]
    if cfg.official_weights and given:
        raise RunError(f"official_weights={cfg.official_weights} and {given[0]} are mutually exclusive; remove one")


def refuse_sweep_over_processes(cfg: DictConfig) -> None:
    """Stops `--multirun` with ddp: every process would start the whole sweep, with its own parameters and folders."""
    strategy = str(cfg.trainer.strategy)
    if HydraConfig.get().mode == RunMode.MULTIRUN and "ddp" in strategy:
        found = f"found {cfg.trainer.devices} devices; use trainer=gpu, or start the runs one by one"
        raise RunError(f"--multirun with trainer.strategy={strategy}: expected one process per run of a sweep, {found}")


class Failed(BaseException):
    """Raised by a job in place of an error, of which Hydra would print a line of its own; a sweep goes on."""


def job(cfg: DictConfig) -> float:
    """`run`, as Hydra calls it."""
    try:
        return run(cfg)
    except Exception as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        raise Failed(error) from error


@plain_errors
def main() -> None:
    """The command line, for what is not `answered` at once; `dexzoo run` is the same."""
    sys.argv[1:] = quoted(sys.argv[1:])
    try:
        hydra.main(version_base="1.3", config_path="conf", config_name="config")(job)()
    except Failed as failed:
        raise failed.args[0] from failed.args[0].__cause__
    except Stopped as stopped:  # with status 0, what started this run would take it for finished
        if rank_zero_only.rank == 0:
            print(stopped, file=sys.stderr)
        sys.exit(stopped.status)


if __name__ == "__main__":
    main()

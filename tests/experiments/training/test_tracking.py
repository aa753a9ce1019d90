"""W&B's mode, and metrics.csv of a resumed run."""

import csv

import pytest

from dexzoo.experiments.training import tracking

NETRC = "machine {host} login user password " + 40 * "a" + "\n"


@pytest.mark.parametrize(
    ("env", "host", "mode"),
    [
        ({}, None, "offline"),
        ({"WANDB_MODE": "disabled", "WANDB_API_KEY": "x"}, None, "disabled"),
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": "x"}, None, "offline"),
        ({"WANDB_API_KEY": "x"}, None, "online"),
        ({}, "api.wandb.ai", "online"),
        ({}, "api.forge.coreweave.com", "online"),
        ({}, "example.org", "offline"),
        ({"WANDB_BASE_URL": "https://wandb.example.org"}, "api.wandb.ai", "offline"),
        ({"WANDB_BASE_URL": "https://wandb.example.org"}, "wandb.example.org", "online"),
    ],
)
def test_mode(env, host, mode, tmp_path):
    env = {**env, "NETRC": str(tmp_path / "netrc")}
    if host:
        (tmp_path / "netrc").write_text(NETRC.format(host=host))
    assert tracking.ensure_wandb_mode(env) == mode
    assert env["WANDB_MODE"] == mode


def test_a_broken_netrc_means_offline(tmp_path):
    (tmp_path / "netrc").write_text("machine")
    assert tracking.ensure_wandb_mode({"NETRC": str(tmp_path / "netrc")}) == "offline"


def test_metrics_of_a_resumed_run_go_on_where_the_checkpoint_was(tmp_path):
    first = tracking.RunCSVLogger(tmp_path)
    for step in (10, 20, 30):
        first.log_metrics({"loss": step / 10}, step)
    first.save()

    resumed = tracking.RunCSVLogger(tmp_path)
    resumed.cut_after(20)
    resumed.log_metrics({"loss": 3.5, "val": 7.0}, 30)
    resumed.save()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [(row["step"], row["loss"], row["val"]) for row in rows] == [
        ("10", "1.0", ""),
        ("20", "2.0", ""),
        ("30", "3.5", "7.0"),
    ]


def test_without_wandb_the_status_says_so():
    assert tracking.wandb_status([]) == "W&B: not used (logger=wandb turns it on)"

"""Checkpoints stay whole, and the random numbers of a step follow from where it stands."""

import random
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from dexzoo.experiments.training import callbacks
from dexzoo.experiments.training.callbacks import AtomicCheckpoints, EffectiveBatch, StepSeed, TrainingClock


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path, writer = tmp_path / "last.ckpt", AtomicCheckpoints()
    writer.save_checkpoint({"step": torch.tensor(1)}, path)

    def half(checkpoint, part, *_):
        with open(part, "wb") as file:
            file.write(b"half")
        raise OSError("killed")

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io._atomic_save", half)
    with pytest.raises(OSError, match="killed"):
        writer.save_checkpoint({"step": torch.tensor(2)}, path)
    assert torch.load(path, weights_only=True) == {"step": torch.tensor(1)}


class _Worsening(L.LightningModule):
    """One weight that counts epochs, and a loss of the validation that rises with it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return -self.weight.sum()

    def validation_step(self, batch, batch_idx):
        self.log_dict({"val/loss": self.weight.sum(), "val/mpjpe_cm": self.weight.sum()})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize(("model", "kept"), [("motionnet", 1.0), ("contact_map", 1.0), ("grasp_flow", 3.0)])
def test_best_weights_are_those_of_the_lowest_loss_but_for_candidates(model, kept, tmp_path):
    with initialize_config_module("dexzoo.experiments.conf", version_base="1.3"):
        cfg = compose("config", [f"model={model}", f"run_dir={tmp_path}"])
    checkpoints = [instantiate(cfg.callbacks[name]) for name in ("best", "last")]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = L.Trainer(max_epochs=3, callbacks=checkpoints, num_sanity_val_steps=0, **quiet)
    batches = torch.utils.data.DataLoader(torch.zeros(1, 1))
    trainer.fit(_Worsening(), batches, batches)
    found = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)["state_dict"]["weight"]
    assert found.item() == kept


def _draw(seed: int, epoch: int, batch: int, rank: int = 0) -> tuple[float, float, float]:
    trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    StepSeed(seed).on_train_batch_start(trainer, None, None, batch)
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_random_numbers_of_a_step():
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, 1)]
    draws = [_draw(*place) for place in places]
    assert [_draw(*place) for place in places] == draws
    assert len({number for draw in draws for number in draw}) == 3 * len(places)


def test_the_effective_batch_is_said_once_and_kept(capsys):
    """Of three processes; two of them are silent."""
    said = []
    for rank in range(3):
        callback = EffectiveBatch()
        data = SimpleNamespace(train_batch_size=24)
        trainer = SimpleNamespace(
            datamodule=data, world_size=3, accumulate_grad_batches=2, is_global_zero=rank == 0, global_rank=rank
        )
        assert callback.facts == {}
        callback.on_train_start(trainer, None)
        counts = {"batch_size": 24, "processes": 3, "accumulate": 2, "effective_batch": 144}
        assert callback.facts == counts | {"learning_rate_rule": "as given"}
        said.append(capsys.readouterr().out)
    expected = "144 samples a step: 24 x 3 processes x 2 accumulated; the learning rate is used as given, not scaled"
    assert expected in said[0]
    assert said[1:] == ["", ""]


def test_the_clock_counts_training_over_a_stop(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    clock = TrainingClock()
    clock.on_train_start(None, None)
    now[0] = 107.0
    kept = clock.state_dict()
    now[0] = 300.0  # lost with the process
    resumed = TrainingClock()
    resumed.load_state_dict(kept)
    resumed.on_train_start(None, None)
    now[0] = 305.0
    resumed.on_train_end(None, None)
    now[0] = 999.0
    assert (clock.seconds, resumed.seconds, resumed.state_dict()) == (0.0, 12.0, {"seconds": 12.0})

"""Lightning's loops as work that is announced like all other: see `geometry.progress`."""

import math
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar

from ...geometry.progress import Work, begin


class WorkProgress(ProgressBar):
    """Announces training, epochs, validations and tests; what is slow within a batch stands below them."""

    def __init__(self) -> None:
        super().__init__()
        self._works: dict[str, Work] = {}
        self._on = True

    def disable(self) -> None:
        """Lightning's, for processes that leave it to the first one."""
        self._on = False

    def enable(self) -> None:
        self._on = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        self._begin("training", "training, epochs", epochs)
        self._works["training"].advance(trainer.current_epoch)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin("epoch", f"epoch {trainer.current_epoch + 1}", _total([self.total_train_batches]))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """One batch more, with what Lightning shows in bars."""
        numbers = self.get_metrics(trainer, pl_module)
        numbers.pop("v_num", None)
        self._works["epoch"].advance()
        texts = (f"{name} {x:.4g}" if isinstance(x, float) else f"{name} {x}" for name, x in numbers.items())
        if text := ", ".join(texts):
            self._works["epoch"].note(text)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._end("epoch")
        self._works["training"].advance()

    def on_train_end(self, *_: Any) -> None:
        self._end("training")

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin("validation", "validating", _total(trainer.num_val_batches))

    def on_validation_batch_end(self, *_: Any) -> None:
        self._works["validation"].advance()

    def on_validation_end(self, *_: Any) -> None:
        self._end("validation")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin("test", f"testing {getattr(pl_module, 'method', '')}".rstrip(), _total(trainer.num_test_batches))

    def on_test_batch_end(self, *_: Any) -> None:
        self._works["test"].advance()

    def on_test_end(self, *_: Any) -> None:
        self._end("test")

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin("prediction", "refining, batches", _total(trainer.num_predict_batches))

    def on_predict_batch_end(self, *_: Any) -> None:
        self._works["prediction"].advance()

    def on_predict_end(self, *_: Any) -> None:
        self._end("prediction")

    def on_exception(self, *_: Any) -> None:
        for name in [*self._works][::-1]:
            self._works.pop(name).end(False)

    def _begin(self, name: str, what: str, total: int | None) -> None:
        self._works[name] = begin(what, total) if self._on else Work()

    def _end(self, name: str) -> None:
        self._works.pop(name).end(True)


def _total(batches: Sequence[float]) -> int | None:
    """Of all loaders; None where one has no end."""
    return int(sum(batches)) if all(map(math.isfinite, batches)) else None

"""What tasks share whose network may have a contact predictor inside, trained before it and frozen."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ....datamodules.grasps import GraspDataModule
from ...published.checkpoints import Report
from ...task import Task
from ..base import GraspModel
from .model import ContactPredictor

Model = TypeVar("Model", bound=GraspModel)

_log = logging.getLogger(__name__)


class NoContactPredictor(ValueError):
    """A model needs a contact predictor, and its own was never trained."""


class ContactHolder(Task[Model, GraspDataModule]):
    """A task around a `GraspModel`.

    Attributes:
        has_contact: whether the predictor was trained; checkpoints keep it.
    """

    datamodule_type = GraspDataModule
    has_contact: Tensor

    def __init__(self, *task: Any) -> None:
        super().__init__(*task)
        self.register_buffer("has_contact", torch.tensor(False))

    @property
    def contact_predictor(self) -> ContactPredictor | None:
        """The one inside the network."""
        return self.network.contact

    def check_ready(self) -> None:
        """Raises NoContactPredictor if the contact predictor was never trained."""
        if self.contact_predictor is not None and not self.has_contact:
            raise NoContactPredictor(
                f"contact: expected a trained contact predictor for {self.method!r}, found none; fill it by "
                "`load_contact_weights`, or do without by contact=None, and without that term of the loss"
            )

    def load_contact_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Fills the contact predictor with trained weights.

        Raises ValueError: the network has none; RuntimeError: the weights are of another one.
        """
        if self.contact_predictor is None:
            super().load_contact_weights(weights)
            return
        self.contact_predictor.load_state_dict(weights)
        self.has_contact.fill_(True)

    def load_published(self, official_weights: str | Path, with_contact: bool = True) -> Report:
        """Fills the network with the weights of a published file; see `Task.load_published`."""
        report = self._published_loader()(official_weights, with_contact)
        if any(key.startswith("contact_net.") for key in report.loaded):
            self.has_contact.fill_(True)
            _log.warning(
                "contact: the predictor is that of %s, which RealDex's own training leaves untrained; "
                "`load_contact_weights` takes another",
                official_weights,
            )
        return report

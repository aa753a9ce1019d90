"""The contact predictor of RealDex and UniDexGrasp, into which their files can be loaded."""

from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn.functional import log_softmax

from ....hands.hand import Hand
from ...published.checkpoints import Report, load_official
from ...published.contact_map_net import ContactMapNet
from ...published.pointnet import initialise
from .model import ContactPredictor


class OfficialContactMap(ContactPredictor):
    """`ContactMapNet` as a contact predictor, trained as published except for the class of full contact.

    The published target puts contact of exactly 1 in the first class and treats points inside the hand as free; here
    they are in the last class. Clouds are not centred, so their frame matters.

    Args:
        hand: the hand.
        bins: number of contact classes.
        head: "bins" or "regression".
        n_hand_points: number of points on the hand's surface.
    """

    def __init__(
        self, hand: Hand, *, bins: int = 10, head: Literal["bins", "regression"] = "bins", n_hand_points: int = 1024
    ) -> None:
        super().__init__(hand, bins, head, n_hand_points)
        self.net = ContactMapNet(self.n_outputs)
        initialise(self.net)

    def load(self, path: str | Path) -> Report:
        """Loads a published file of ContactNet, RealDex's or UniDexGrasp's.

        Raises CheckpointError: see `load_official`.
        """
        return load_official(path, self.net)

    def forward(self, object_points: Tensor, hand_points: Tensor) -> Tensor:
        """See `ContactPredictor.forward`; log-probabilities for bins."""
        logits = self.net(object_points, hand_points)
        return logits if self.head == "regression" else log_softmax(logits, dim=-1)

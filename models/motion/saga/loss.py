"""The loss of SAGA's motion stage."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ....losses.weighted import weighted_sum
from ...blocks.across_ranks import mean_over_ranks
from .image import COLUMNS
from .model import SagaPrediction

SAGA_TERMS = (
    "body",
    "body_velocity",
    "contact",
    "image_kl",
    "path",
    "path_first",
    "path_last",
    "path_velocity",
    "path_kl",
)


class SagaLoss:
    """Compares both networks' reconstructions of clips with the clips. All values are standardised.

    Terms: `body`, `body_velocity` (mean absolute error of the points and of their differences between frames),
    `contact` (cross-entropy of the fingertip contacts; omitted if there are none), `image_kl`; and of the palm's
    path `path`, `path_first`, `path_last` (its end frames), `path_velocity`, `path_kl`.

    Args:
        weights: weight of each term.

    Raises ValueError: names other than these.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        if set(weights) != set(SAGA_TERMS):
            raise ValueError(f"loss: expected the weights {list(SAGA_TERMS)}, found {sorted(weights)}")
        self.weights = {name: float(weights[name]) for name in SAGA_TERMS}

    def __call__(self, prediction: SagaPrediction) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum and unweighted terms. Raises ValueError if a term is not finite."""
        terms = self.terms(prediction)
        return weighted_sum(terms, self.weights), terms

    def terms(self, prediction: SagaPrediction) -> dict[str, Tensor]:
        """Every term, scalar, unweighted."""
        body, path = prediction.body - prediction.true_body, prediction.path - prediction.true_path
        terms = {"body": body.abs().mean(), "body_velocity": body.diff(dim=-1).abs().mean()}
        if prediction.contact.shape[1]:
            terms["contact"] = binary_cross_entropy_with_logits(prediction.contact, prediction.true_contact)
        return terms | {
            "image_kl": robust_kl(*prediction.image_posterior),
            "path": path.abs().mean(),
            "path_first": path[:, 0].abs().mean(),
            "path_last": path[:, COLUMNS - 1].abs().mean(),
            "path_velocity": path.diff(dim=1).abs().mean(),
            "path_kl": robust_kl(*prediction.path_posterior),
        }


def robust_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """sqrt(1 + KL^2) - 1, which is flat near 0, of the KL per latent variable, from N(0, I); both (B, Z).

    The KL is the mean over the batch, in a training step that of all processes together.
    """
    divergence = mean_over_ranks((0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).mean())
    return (1 + divergence.square()).sqrt() - 1

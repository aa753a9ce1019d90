"""Supported precisions of training: float32, or bfloat16 only in the layers that have weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .blocks.gating import BlendedLinear

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, BlendedLinear)


def check_precision(precision: Any) -> None:
    """Refuses precisions that Lightning supports but our tasks do not.

    Raises ValueError: neither 32-true nor bf16-mixed; the message says why.
    """
    name = str(precision)
    if name in ("32-true", "32", "None", "bf16-mixed", "bf16"):
        return
    reasons = {
        "64": "data, hands and weights are float32",
        "16": "the losses and their gradients leave the range of float16",
        "bf16-true": "weights and poses in bfloat16 are off by 0.4 %, which is millimetres at a fingertip",
    }
    why = [f": {reason}" for start, reason in reasons.items() if name.startswith(start)]
    raise ValueError(
        f"precision: expected 32-true, or bf16-mixed (training multiplies by the weights of layers in "
        f"bfloat16, all else is float32), on the CPU as on a GPU; found {name}{''.join(why)}"
    )


class LayerPrecision(Precision):
    """`bf16-mixed` that is safe for models of hands.

    Lightning's version puts whole steps under autocast, which rounds every matrix product: rotations, distances, fits
    in rollouts, metrics. Here only the layers with weights (linear, convolution) compute in bfloat16 and return
    float32, and only in training steps. Kinematics, losses, normalisation and optimiser use float32, and validation,
    test and prediction are the same as with 32-true.
    """

    precision = "bf16-mixed"

    def __init__(self) -> None:
        self._layers: list[nn.Module] = []

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Collects the layers; called by Lightning before the first step."""
        self._layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
        return module

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        """Puts the layers under autocast during a training step."""
        hooks = [hook for layer in self._layers for hook in _autocast(layer)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def take_over_precision(trainer: L.Trainer) -> None:
    """Checks the precision of a trainer, and replaces Lightning's bf16-mixed with ours.

    Raises ValueError: as for `check_precision`.
    """
    check_precision(trainer.precision)
    if trainer.precision == "bf16-mixed":
        trainer.strategy.precision_plugin = LayerPrecision()


def _autocast(layer: nn.Module) -> list[RemovableHandle]:
    """Hooks that run the layer in bfloat16 and return float32."""
    entered: list[torch.autocast] = []

    def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        entered.append(torch.autocast(inputs[0].device.type, torch.bfloat16))
        entered[-1].__enter__()

    def leave(_: nn.Module, inputs: tuple[Any, ...], output: Tensor | None) -> Tensor | None:
        entered.pop().__exit__(None, None, None)
        return None if output is None else output.float()  # None if the layer failed

    return [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave, always_call=True)]

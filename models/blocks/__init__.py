"""Layers shared by several models."""

from .attention import JointAttention
from .encoding import SinusoidalEncoding
from .eval_mode import eval_mode
from .gating import BlendedLinear, Gate
from .latent import kl_divergence
from .pointnet import PointEncoder, PointNet
from .set_abstraction import FeaturePropagation, SetAbstraction
from .standardise import Standardise
from .velocity_field import VelocityField

__all__ = [
    "BlendedLinear",
    "FeaturePropagation",
    "Gate",
    "JointAttention",
    "PointEncoder",
    "PointNet",
    "SetAbstraction",
    "SinusoidalEncoding",
    "Standardise",
    "VelocityField",
    "eval_mode",
    "kl_divergence",
]

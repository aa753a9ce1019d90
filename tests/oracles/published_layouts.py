"""Names and shapes of the tensors in published files, written out from their description, and files in that layout."""

import torch


def convolution(name, n_out, n_in):
    return {f"{name}.weight": (n_out, n_in, 1), f"{name}.bias": (n_out,)}


def linear(name, n_out, n_in):
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def norm(name, width):
    fields = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{field}": (width,) for field in fields} | {f"{name}.num_batches_tracked": ()}


def pointnet(prefix):
    keys = {}
    for k, (n_in, n_out) in enumerate([(3, 64), (64, 128), (128, 1024)], start=1):
        keys |= convolution(f"{prefix}conv{k}", n_out, n_in) | norm(f"{prefix}bn{k}", n_out)
    return keys


def transform(prefix):
    keys = pointnet(prefix) | norm(f"{prefix}bn4", 512) | norm(f"{prefix}bn5", 256)
    for k, (n_in, n_out) in enumerate([(1024, 512), (512, 256), (256, 9)], start=1):
        keys |= linear(f"{prefix}fc{k}", n_out, n_in)
    return keys


def contact_keys(prefix=""):
    keys = pointnet(f"{prefix}feat_o.") | pointnet(f"{prefix}feat_h.")
    for k, (n_in, n_out) in enumerate([(1088, 512), (512, 256), (256, 128), (128, 10)], start=1):
        keys |= convolution(f"{prefix}conv{k}", n_out, n_in)
    for k, width in enumerate([512, 256, 128], start=1):
        keys |= norm(f"{prefix}bn{k}", width)
    return keys | convolution(f"{prefix}convfuse", 1024, 2048) | norm(f"{prefix}bnfuse", 1024)


def cvae_keys(prefix=""):
    keys = {}
    for encoder in ("obj_encoder", "hand_encoder"):
        keys |= pointnet(f"{prefix}{encoder}.") | transform(f"{prefix}{encoder}.stn.")
    encoder, decoder = f"{prefix}cvae.encoder.", f"{prefix}cvae.decoder."
    keys |= linear(f"{encoder}MLP.L0", 512, 2048) | linear(f"{encoder}MLP.L1", 256, 512)
    keys |= linear(f"{encoder}linear_means", 64, 256) | linear(f"{encoder}linear_log_var", 64, 256)
    keys |= linear(f"{decoder}MLP.L0", 1024, 1088) | linear(f"{decoder}MLP.L1", 256, 1024)
    return keys | linear(f"{decoder}MLP.L2", 28, 256)


def gendexgrasp_keys():
    keys = linear("encoder_z_means", 128, 512) | linear("encoder_z_logvars", 128, 512)
    for part, widths in {
        "encoder.": (4, 64, 128, 512),
        "decoder.pointwise_": (3, 64, 64),
        "decoder.global_": (64, 128, 512),
        "decoder.decoder_": (704, 512, 64, 64, 1),
    }.items():
        for k in range(len(widths) - 1):
            keys |= convolution(f"{part}conv_layers.{k}", widths[k + 1], widths[k])
            keys |= norm(f"{part}bn_layers.{k}", widths[k + 1])
    return keys


def weights(keys, seed=0):
    """Tensors of these shapes as a training would leave them."""
    generator = torch.Generator().manual_seed(seed)
    make = {"num_batches_tracked": lambda shape: torch.tensor(7), "running_var": lambda shape: torch.ones(shape)}
    draw = {key: make.get(key.rsplit(".")[-1]) for key in keys}
    return {k: draw[k](s) if draw[k] else 0.05 * torch.randn(s, generator=generator) for k, s in keys.items()}


def container(tensors):
    """The file of a published training: optimiser and counters beside the weights."""
    state = {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}
    optimizer = {"state": state, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}
    return {"epoch": 12, "iteration": 1200, "model": tensors, "optimizer": optimizer}


OFFICIAL_WEIGHTS = {
    "translation": 100.0,
    "rotation": 10.0,
    "joints": 1.0,
    "points": 1.0,
    "kl": 1.0,
    "contact": 10.0,
    "penetration": 1.0,
}
"""Weights of the published training of RealDex's cVAE for its terms."""

"""The hot path of GANs as operators: fused kernels for CPU and CUDA, and a readable reference for each of them.

Arguments follow NVIDIA's public signatures. Every function can be differentiated as often as one likes, also inside
`torch.compile`. Where no kernel could be built, or `GANZOO_KERNELS=reference` asks for it, the reference runs.
"""

from .bias_act import bias_act, fused_leaky_relu, reference_bias_act
from .gradient_penalty import between, gradient_penalty, reference_between, reference_gradient_penalty
from .upfirdn2d import (
    downsample2d,
    filter2d,
    reference_upfirdn2d,
    setup_filter,
    upfirdn2d,
    upsample2d,
)

__all__ = [
    "between",
    "bias_act",
    "downsample2d",
    "filter2d",
    "fused_leaky_relu",
    "gradient_penalty",
    "reference_between",
    "reference_bias_act",
    "reference_gradient_penalty",
    "reference_upfirdn2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]

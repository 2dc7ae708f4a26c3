"""How often networks that double a small map do so: what architectures for pictures share."""

from __future__ import annotations

from ganzoo import SizeError


def stages(height: int, width: int, makes: str, largest: int = 128) -> tuple[tuple[int, int], int]:
    """The small map's size and how often it doubles: as often as leaves at least 4 pixels a side.

    makes: what the architecture makes, the beginning of the SizeError's sentence for other sizes. largest: of
    a side.
    """
    doublings = max(2, (min(height, width) // 4).bit_length() - 1)
    step = 2**doublings
    if min(height, width) < 16 or max(height, width) > largest or height % step or width % step:
        near = "x".join(str(min(largest, max(16, round(side / step) * step))) for side in (height, width))
        raise SizeError(
            f"{makes}, at this size with sides that are multiples of {step}, not {height}x{width}; try size={near}"
        )
    return (height // step, width // step), doublings

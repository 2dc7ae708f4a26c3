"""Measuring: what a measure is given and gives back, feature extractors, and `ganzoo evaluate`."""

from .evidence import Evidence, Measure, Sample

__all__ = ["Evidence", "Measure", "Sample"]

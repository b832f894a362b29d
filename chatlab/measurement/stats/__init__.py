"""Intervals, comparisons, and the scaling law."""

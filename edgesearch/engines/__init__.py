"""Engines run solver weights: tokens in, steps out. `base.py` is the seam, each other file one implementation."""

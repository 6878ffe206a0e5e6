"""Verifiers score steps: steps in, scores out. `base.py` is the seam, each other file one implementation."""

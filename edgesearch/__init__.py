"""edgesearch: step-level search with a verifier on small quantised models, within a latency budget."""

__version__ = "0.1.0"

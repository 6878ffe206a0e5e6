"""The harness: what a run is measured by, and how small models with search compare with large ones."""

"""Planning: which strategy, and how wide, for the seconds that are granted."""

"""The trace of a solve: its search tree, recorded from events, kept in a JSON file, shown as text and as a page."""

"""The `edgesearch` command: parse, call the library, render."""

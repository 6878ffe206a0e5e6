"""Model manifests (TOML), the built-in nano models, and how they were trained. Data: nothing imports this."""

"""Programs that must not be trusted with this machine run here and nowhere else. `probe.find` chooses how."""

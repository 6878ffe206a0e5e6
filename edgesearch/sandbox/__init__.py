"""Programs that must not be trusted with this machine run here and nowhere else.

`probe.find` chooses how for a checker that a user named, `probe.find_for_programs` for programs that a model wrote.
"""

"""What runs inside a sandbox to try programs (edgesearch/sandbox/trial.py), with nothing but the standard library.

broker.py takes trials from outside and has zygotes (zygote.py) fork a process for the program (candidate.py) and one
for its tests (tester.py). Values go between these two as values.py spells them, in frames (frames.py). confine.py is
what a forked process gives up first, packages.py what may be imported.

Relative imports only: inside, this package is `sandbox.inside`, and nothing else of edgesearch is there.
"""

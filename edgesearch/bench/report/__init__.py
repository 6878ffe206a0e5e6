"""Reports: what the stores of runs say, measured once (measure.py) and shown as text, charts and a page."""

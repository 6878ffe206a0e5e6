"""The browser that the report's page is tested in serves the page of a trace, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "bench" / "report"))

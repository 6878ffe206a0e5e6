"""The engine benchmark, on a tiny model: it runs, its counts hold, and it ends with one JSON line."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "engine.py"
OPTIONS = ["--quick", "--quant", "Q4_0", "--widths", "1,4", "--tokens", "4", "--repeats", "1"]


def test_a_quick_run_ends_with_one_json_line_that_holds_all_figures(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *OPTIONS, "--cache-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    figures = result["figures"]["Q4_0"]
    assert [(each["n"], each["kv_cells"]) for each in figures["widths"]] == [(1, 128 + 3), (4, 128 + 4 * 3)]
    assert figures["high_level"] is None or figures["high_level"]["known_prompt"]["speedup_cached"] > 0
    assert figures["fork_us"]["forks"] >= 200

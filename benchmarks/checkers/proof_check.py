"""Checks formal proofs with metamath (Debian: apt install metamath).

    Prove |- ( ph -> ph ) in Metamath from propositional.mm.
    ... \\boxed{wph wph wph wi wi wph wph wi ... ax-mp}

    edgesearch solve --verifier "command:python benchmarks/checkers/proof_check.py" --strategy best_of_n "Prove |- ..."

The answer is a proof in Metamath's normal form: labels of propositional.mm in the order in which they are applied.
The score is 1 if metamath verifies that it proves the statement of the problem, and 0 if not. Whatever else a model
writes never reaches metamath: labels and symbols are looked up in the database first, so that a proof cannot bring
axioms, files or comments of its own, and an unknown step (`?`) is no proof. Other problems are an error, with status 2.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

AXIOMS = Path(__file__).with_name("propositional.mm")
PROBLEM = re.compile(r"Prove (\|- [^$]*?) in Metamath")
SYMBOLS = {"(", ")", "->", "-.", "|-", "ph", "ps", "ch"}
MAX_LABELS = 2_000
VERIFIED = "All proofs in the database were verified"
TIME_S = 10


def labels() -> set[str]:
    """Those that a proof may use."""
    return set(re.findall(r"(\S+) \$[af] ", AXIOMS.read_text(encoding="ascii")))


def reason_against(statement: list[str], proof: list[str]) -> str | None:
    """Why a proof proves nothing of the kind; None where metamath verifies it."""
    unknown = [label for label in proof if label not in labels()]
    if unknown or not 0 < len(proof) <= MAX_LABELS:
        return f"not a proof of known labels: {' '.join(unknown[:3])[:80]}"
    database = f"{AXIOMS.read_text(encoding='ascii')}\nclaim $p {' '.join(statement)} $= {' '.join(proof)} $.\n"
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "claim.mm").write_text(database, encoding="ascii")
        command = ["metamath", 'read "claim.mm"', "verify proof *", "exit"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIME_S, check=False)
    lines = [line.strip() for line in done.stdout.splitlines()]
    complaints = [line for line in lines if line.startswith(("?", "-"))]
    if complaints or not any(line.startswith(VERIFIED) for line in lines):
        return complaints[0] if complaints else "metamath does not verify it"
    return None


def main() -> int:
    given = json.load(sys.stdin)
    found = PROBLEM.search(given["problem"])
    statement = found[1].split() if found else []
    if not statement or not SYMBOLS.issuperset(statement):
        print("this is no problem of the form: Prove |- FORMULA in Metamath", file=sys.stderr)
        return 2
    reason = reason_against(statement, (given["answer"] or "").split())
    print(json.dumps({"score": 0 if reason else 1, "reason": reason or "verified by metamath"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""All attacks by name."""

from __future__ import annotations

from .attack import Attack
from .escapes import ESCAPES
from .fakes import FAKES
from .floods import FLOODS

ATTACKS: dict[str, Attack] = {attack.name: attack for attack in (*FAKES, *ESCAPES, *FLOODS)}
"""The name is what a driver is given."""
assert len(ATTACKS) == len(FAKES) + len(ESCAPES) + len(FLOODS), "two attacks have the same name"

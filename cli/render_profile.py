"""A device's profile in words, as a table and as JSON."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from .terminal import one_line

if TYPE_CHECKING:
    from edgesearch.planner.profile import Point, Profile
    from edgesearch.planner.profile_cache import Obtained


def profile_object(obtained: "Obtained") -> dict[str, object]:
    """The profile and its fit, for programs."""
    profile = obtained.profile
    return {
        "path": str(obtained.path) if obtained.path is not None else None,
        "is_cached": obtained.is_cached,
        "profile": {key: value for key, value in asdict(profile).items() if key != "points"},
        "points": [_point_object(profile, point) for point in profile.points],
    }


def _point_object(profile: "Profile", point: "Point") -> dict[str, object]:
    predicted_s = profile.pass_s(point.width, point.context_tokens)
    return {**asdict(point), "predicted_s": predicted_s, "error": profile.error(point)}


def profile_lines(solver: str, verifier: str | None, obtained: "Obtained") -> list[str]:
    """The profile and its fit, for people."""
    profile = obtained.profile
    fitted = sorted(profile.points, key=lambda point: (not point.is_fitted, point.width, point.context_tokens))
    return [
        *_head(solver, verifier, profile),
        "",
        f"  {'prompt':<18}{_line(profile.prefill_base_s, profile.prefill_token_s)}",
        f"  {'judging':<18}{_line(profile.verify_call_s, profile.verify_token_s) if verifier else 'no verifier'}",
        f"  {'fork of a draft':<18}{duration(profile.fork_s)}",
        f"  {'memory':<18}{_memory(profile.bytes_per_token)}",
        "",
        "  passes:  drafts   context   predicted    measured    error",
        *(_row(profile, point) for point in fitted),
        "",
        _residual_line(profile),
        f"Kept in {one_line(str(obtained.path))}" if obtained.path is not None else "It could not be kept.",
    ]


def _residual_line(profile: "Profile") -> str:
    if all(point.is_fitted for point in profile.points):
        return "There was no time for passes that tell how good the fit is; give it a longer --limit."
    return f"Passes that were not fitted are predicted within {profile.residual:.0%} (median)."


def _head(solver: str, verifier: str | None, profile: "Profile") -> list[str]:
    names = one_line(f"{solver} with {verifier or 'no verifier'}")
    if profile.identity is None:
        return [f"{names}: a rough profile, of the engine's own estimates"]
    threads = f"{profile.identity.num_threads} thread{'s' * (profile.identity.num_threads > 1)}"
    device = one_line(f"{profile.identity.device}, {threads}, {profile.identity.version}")
    return [names, f"{device}; measured in {duration(profile.measured_s)} on {one_line(profile.created)}"]


def _memory(bytes_per_token: int | None) -> str:
    return "not told" if bytes_per_token is None else f"{bytes_per_token:,} B a token"


def _line(base_s: float, token_s: float) -> str:
    return f"{duration(base_s)}, and {duration(token_s)} a token"


def _row(profile: "Profile", point: "Point") -> str:
    predicted, measured = duration(profile.pass_s(point.width, point.context_tokens)), duration(point.seconds)
    mark = "" if point.is_fitted else "  not fitted"
    cells = f"{point.width:>15}{point.context_tokens:>10}{predicted:>12}{measured:>12}{profile.error(point):>+9.0%}"
    return cells + mark


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.2g} us" if seconds else "0 s"

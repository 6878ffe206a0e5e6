"""What all tests share: the user's own folders are left alone, in this process and in those that it starts."""

from collections.abc import Iterator

import pytest

from edgesearch.planner import policy, profile_cache


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Profiles, policies and what else is kept for a user lie in a folder of this run."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setattr(profile_cache, "default_folder", lambda: home / "profiles")
        patch.setattr(policy, "user_folder", lambda: home / "policies")
        yield

"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples at every run: a change is judged by what it does, not by luck.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real audio with known truth that lies beside the project on developers' machines."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder shared/data with real audio is not beside the project")
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """One thread of torch: threads that wait for each other on a busy machine are slow."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

import pytest


@pytest.fixture(autouse=True)
def weights_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading overwrites every weight, or fails, so drawing what they start as can be left out."""
    monkeypatch.setattr("ventralstream.network.initialise", lambda *_: None)

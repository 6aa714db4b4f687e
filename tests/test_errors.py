import time

import pytest
import torch

from ventralstream.errors import about_memory, printable, unknown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\udcff\u202e\u2028\x00", r"\udcff\u202e\u2028\x00"),
        ("naïve 猫 [bold]\u00a0\u3000", "naïve 猫 [bold]\u00a0\u3000"),
    ],
)
def test_what_no_screen_shows_as_itself_is_escaped(text, shown):
    assert printable(text) == shown


def test_want_of_memory_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**45)
    assert about_memory(caught.value) and about_memory(MemoryError()) and not about_memory(RuntimeError("no"))


def test_a_long_name_is_cut_and_quickly_compared():
    began = time.monotonic()
    message = str(unknown("model", "conv" * 10**6, [f"conv{i}" for i in range(40)]))
    assert len(message) < 200 and "convconv...convconv" in message and time.monotonic() - began < 1

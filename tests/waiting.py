"""The one way to wait for something: ask again until it is so, or a deadline has passed."""

import time


def until(condition, what, seconds=20):
    """Waits until the condition gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.01)
    return result

"""Time that must pass: the few tests that need it say so by this."""

import time


class Clock:
    """Measures from its making on, in seconds."""

    def __init__(self):
        self.start = time.monotonic()

    def passed(self):
        return time.monotonic() - self.start

    def wait(self, seconds):
        """Until so much has passed in all: it is time itself that is waited for."""
        time.sleep(max(0.0, seconds - self.passed()))

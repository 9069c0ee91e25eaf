"""What the test cluster says to the person at the terminal: on standard error, a line at a time, at once."""

import sys


def say(line: str) -> None:
    sys.stderr.write(f"cluster: {line}\n")
    sys.stderr.flush()

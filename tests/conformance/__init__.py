"""What the standards demand, each numbered statement by itself; see statements.py."""

"""Training: the loop, and what it needs; see loop.py."""

"""Searching for the best output.

stepper.py       all that a search may know of a model: scores of the next token; one model, or an ensemble
beam.py          the best few outputs; greedy.py: the best token, again and again
forced.py        log-probabilities of outputs that are given
penalties.py     how the length of an output enters its score
hypothesis.py    what a search hands back, and which tokens it may hold
history.py       what a search notes at each step, and when finished sources leave it
"""

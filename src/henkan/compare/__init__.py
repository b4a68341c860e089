"""Several models on one bench: trained alike at one size, scored on one test set, told apart by paired tests.

presets, pairs --(plan: settings; matching: widths)--> Trial, … --(bench: train, evaluate)--> run folders
run folders --(systems)--> System, … --(findings: scores, tests, lengths)--> Findings --(page)--> compare.html
"""

"""What Henkan costs, measured. ``python -m benchmarks`` runs all that takes minutes and makes a page of it; each file
also runs alone and says at its top what it measures. Ratios within a run hold; absolute figures drift with the machine.
"""

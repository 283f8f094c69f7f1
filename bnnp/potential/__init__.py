"""A potential, what it predicts, and its files.

Read in this order: :mod:`.prediction` (a value with its standard deviations), :mod:`.potential` (from a
structure to a prediction), :mod:`.assessment` (predictions against references), :mod:`.files`.
"""

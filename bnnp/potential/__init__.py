"""A potential, what it predicts, and its files.

Read in this order: `prediction` (values with their standard deviations), `definition` (what a potential is
made of), `potential` (from a structure to a prediction), `assessment` (predictions against references),
`files` (read once, written once), `loading` (from files and input.nn to a potential), `export`.
"""

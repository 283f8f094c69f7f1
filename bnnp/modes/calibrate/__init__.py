"""Calibration of standard deviations, after a training or before a prediction: `run` tells the steps, with
`structures` (not trained on), `observations` (their errors) and `report`."""

"""Training of the element networks. In reading order:

statistics      what the training set is like
normalization   inputs and targets of the training, and the exact way back to the plain networks of the files
samples         structures in memory, and batches of them
parameters      all weights as one vector
model           weights and a batch to energies, forces and virials
pair_forces     dE/dG to forces, differentiable once more (dense_blocks: the same for a GPU)
loss            what is minimized, and the errors that are reported
evaluation      the Monte Carlo mean, which chooses the best epoch
adam            the optimizer and its step size
loop            batches, epochs, ranks
checkpoint      everything that is needed to go on (interruption: signals that ask to stop)
"""

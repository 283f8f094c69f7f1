"""Training of the element networks: everything between symmetry_functions.h5 and the files of a potential.

Read in this order::

    training         one training, put together from the modules below
    statistics       ranges of the symmetry functions, spread of the references
    weighting        weights of structures, groups and rare environments
    normalization    inputs and targets of the training, and the exact way back to the networks of the files
    samples          structures in memory, and batches of them
    parameters       all weights as one vector (initial: their values before the first step)
    model            weights and a batch to energies, forces and virials
    pair_forces      dE/dG to forces, differentiable once more (dense_blocks: the same for a GPU)
    loss             what is minimized, and the errors that are reported (likelihood: of mean and spread)
    evaluation       the Monte Carlo mean, which chooses the best epoch
    loop             batches, epochs, ranks
    optimizer        the interface of all optimizers: adam with its schedule, lbfgs, kalman/, averaging;
                     methods: which keyword sets what
    checkpoint       everything that is needed to continue (interruption: signals that ask to stop)
    transfer         networks from another potential
    charge_training  stage 1 of a potential with charges (charge_model: charges of a batch, which stand in the
                     place of forces); charges: what stage 2, the training above, needs of it
    joint_training   a training of charges and energies together (joint_model: both of a batch)
    refinement       the choice of the dropout rate before, and the fine-tuning after a training
"""

CHECKPOINT = "checkpoint.npz"  # in the directory of a training; what --restart continues

"""File formats: one module per format, for reading and writing. Nothing else in the package knows them.

Read in this order: ``text.py`` and ``output.py`` (reading text, replacing files atomically), ``input_nn.py``;
structures (``input_data.py``, ``structure_block.py``, ``atom_lines.py``, ``ase_atoms.py``); a potential
(``scaling_data.py``, ``weights.py``, ``uncertainty_data.py``, its ``*_section.py``, ``checksums.py``);
symmetry_functions.h5 (``descriptor_file.py`` has the schema, then ``descriptor_layout.py``,
``descriptor_allocation.py``, ``descriptor_writer.py``); results of training (``learning_curve.py``,
``training_points.py``), prediction (``prediction.py``) and dynamics (``md_out.py``, ``trajectory.py``,
``md_restart.py``, ``appended.py``); ``runner_symmetry_files.py``.
"""

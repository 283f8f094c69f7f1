"""Pictures of what bnnp writes, one module a family; :mod:`plot` is the command."""

"""The keywords of input.nn, one record each, in one module per chapter."""

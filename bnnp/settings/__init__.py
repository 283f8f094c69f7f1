"""Everything input.nn says: the keyword table, the file, and the typed settings of a run.

Read in this order: ``keywords/record.py`` (a keyword is one record), ``keywords/training.py`` (a chapter of
the table), ``arguments.py`` (from the words of a line to a value), ``keyword_file.py`` (the lines of a file),
``settings.py`` (all sections together). ``model.py`` combines the keywords of the potential, ``dialects.py``
has the rules of RuNNer and n2p2 where they disagree, ``help.py`` prints the table. A new keyword is a new
field in its chapter, nothing else.
"""

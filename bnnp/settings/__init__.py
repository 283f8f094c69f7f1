"""What input.nn says: the keyword table, the file, and the typed settings a run works with.

Read in this order: ``keywords/record.py`` (a keyword is one record), ``keywords/training.py`` (a chapter),
``keyword_file.py`` (a line of the file to its value), ``settings.py`` (all sections together). ``model.py``
puts the keywords of the potential together, ``dialects.py`` holds what RuNNer's and n2p2's files mean where
they disagree, ``help.py`` prints the table. A new keyword is a new field in its chapter, nothing else.
"""

"""A study's rows in the formats of other tools.

Here: writing such files from finished tables. Not here: the project's own report (report), bringing runs in (imports).
"""

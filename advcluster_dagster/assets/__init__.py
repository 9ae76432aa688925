"""The steps of the method as recipes, one file per stage. Put a new table's step into the file of its stage and list it
in ``STEPS``.
"""

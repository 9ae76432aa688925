"""The commands, one file a purpose.

Here: arguments, progress, messages. Not here: anything that computes (automation, imports, storage), their assembly
(``cli``).
"""

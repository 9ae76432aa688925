"""Where questions come from and how each is put to a model; one registry.

Here: sources of questions. Not here: reading files people import (imports), traces, grading.
"""

"""Settings of a study, section by section, with unit, default and bounds.

Here: pydantic records. Not here: the whole study and its file (study), what a setting does (science, models).
"""

"""Exports: a study's rows in the formats of other tools."""

"""Preference pairs: detection of held-out questions, sampling of trace pairs, selections of pairs."""

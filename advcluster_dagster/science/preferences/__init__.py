"""Preference pairs: questions to keep out of training, pairs of traces, selections of pairs."""

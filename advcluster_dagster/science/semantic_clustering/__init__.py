"""Semantic clustering of advantage descriptions (paper section 3.2.3): stage three of the method.

Deduplicate the embedded descriptions, sweep (PCA dimension, number of clusters), retain the candidates with
the best scores, name and review them, choose one, and classify its clusters as common or domain-specific.
"""

"""Stage 1 (paper section 3.2.1): which questions show an advantage of the larger model. Counts and rates are SQL models."""

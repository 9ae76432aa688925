"""Stage 2, advantage extraction (paper section 3.2.2): trace pairs, extractor messages, and parsing of replies."""

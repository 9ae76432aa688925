"""The report of a study: figures, sections, one self-contained HTML page; and the explorer."""

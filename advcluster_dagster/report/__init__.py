"""Report of a study (figures, sections, self-contained HTML page) and evidence explorer."""

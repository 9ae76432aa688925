"""Questions and traces that people already have, brought in from files (paper section 4.1 without the inference).

Here: reading, checking and keeping imported rows, and handing them to the assets. Not here: the assets themselves,
answers and verdicts (science/grading), any other table. Rows lie under IMPORTS/STUDY/questions/DOMAIN/BENCHMARK.parquet
and IMPORTS/STUDY/traces/FAMILY/DOMAIN/BENCHMARK/ROLE.parquet.
"""

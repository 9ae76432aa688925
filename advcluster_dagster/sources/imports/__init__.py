"""Import questions and traces from files (paper section 4.1 without the inference).

Rows are stored in IMPORTS/STUDY/questions/DOMAIN/BENCHMARK.parquet and
IMPORTS/STUDY/traces/FAMILY/DOMAIN/BENCHMARK/ROLE.parquet.
"""

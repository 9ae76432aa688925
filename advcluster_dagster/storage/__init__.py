"""Storage: paths, Parquet files with stamps, content hashes, SQL models, pages, backups."""

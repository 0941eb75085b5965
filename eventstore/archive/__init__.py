"""The archive: a topic's records as Parquet files whose names are their offsets.

The only door of pyarrow, which is an extra: importing this package loads nothing of it.
"""

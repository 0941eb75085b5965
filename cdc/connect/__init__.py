"""Kafka Connect: the only door of httpx. Importing this package loads nothing; import its modules by name."""

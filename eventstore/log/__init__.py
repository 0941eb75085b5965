"""Kafka: the only door of aiokafka. Importing this package loads no driver; its modules do."""

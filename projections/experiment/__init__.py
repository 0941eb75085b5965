"""Folding what a test tells, without Kafka: the log it amounts to, what is committed, and a process at work on both."""

"""What must change in three places at once: PostgreSQL, Kafka and Kafka Connect. Pure: a declaration and facts in, steps out.

`cdc plan` shows what `diff.plan_connector` gives and `cdc apply` carries the same object out, so they can't disagree.
"""

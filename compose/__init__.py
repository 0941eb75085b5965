"""Real PostgreSQL, Kafka and Connect with Debezium as ordinary processes, for development, tests and the demo.

`refold up | status | down | doctor` on the command line; in Python:

    from compose.settings import StackSettings
    from compose.stack import Stack

    with Stack(StackSettings(dir=Path(".refold/demo"))).running() as servers:
        connect_to(servers.postgres_dsn)

Never needed in production, and imports no other package of refold.
"""

"""`cdc doctor`: 33 checks of a captured database, its connector and its topics, each with the fact, the danger and the remedy.

Judging is pure: `Facts` in, `Trouble` out, a module per family (server, table, slot, worker, topic). Only `examine` and `mend` touch
the outside.
"""

"""What a statement of an SQL handler may not be, told from its text before it runs. Pure.

Which tables a statement touches can't be told from text; PostgreSQL's own locks say that afterwards (`freehand`). But ending the
transaction would part rows from their checkpoint at once, and a clock or chance would give other rows at every replay.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_ALLOWED = re.compile(r"\(*\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|SAVEPOINT|RELEASE|ROLLBACK\s+TO)\b", re.IGNORECASE)
_CHANCE = re.compile(
    r"\b(now|random\w*|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|gen_random_uuid|uuidv[47]|"
    r"nextval|setval|pg_\w+|txid_\w+|set_config|current_setting|dblink\w*|lo_\w+)\s*\(|"
    r"\b(current_timestamp|current_date|current_time|localtime|localtimestamp|current_user|session_user)\b",
    re.IGNORECASE,
)
_OURS = re.compile(r"\b(eventstore|projections|privacy)\s*\.", re.IGNORECASE)


def refuse(statement: str) -> str | None:
    """Say why an SQL handler may not run *statement*; None = it may."""
    bare = _QUOTED.sub(lambda found: found[0] if found[0].startswith('"') else " ", statement).strip()
    if not _ALLOWED.match(bare):
        return f"{bare.split(maxsplit=1)[0] if bare else 'nothing'} is no statement of an SQL handler: it reads and writes rows, no more"
    if bare.rstrip("; \n\t").count(";"):
        return "an SQL handler gives one statement at a time"
    if found := _CHANCE.search(bare):
        return f"{found[0].rstrip('( ')} gives another value at every replay; take what the event or its envelope says"
    if found := _OURS.search(bare.replace('"', "")):
        return f"{found[0]} is refold's own; an SQL handler names the tables of its projection, without a schema"
    return None

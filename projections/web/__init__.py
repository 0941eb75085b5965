"""Read models in Starlette and FastAPI apps; needs the extra `web`."""

from projections.web.middleware import Reading, ReadModelMiddleware, note_write, read_session, reading
from projections.web.policy import Policy, everybody, nobody

__all__ = ["Policy", "ReadModelMiddleware", "Reading", "everybody", "nobody", "note_write", "read_session", "reading"]

"""Reading the live generation: sessions for web apps, and waiting for one's own writes."""

from projections.serving.bookmark import Bookmark
from projections.serving.past import as_of
from projections.serving.session import ReadModels
from projections.serving.sinks import Sinks

__all__ = ["Bookmark", "ReadModels", "Sinks", "as_of"]

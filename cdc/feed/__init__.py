"""A feed of changes for web apps: Server-Sent Events as a plain ASGI app, to be mounted anywhere; loads no web framework.

feed = ChangeFeed(Offer(CapturedTable("crm", "public.customers"), hidden=("email",), tenant="tenant"), who=find_tenant)
app = Starlette(routes=[Mount("/changes", feed)])
"""

from cdc.feed.feed import ChangeFeed
from cdc.feed.offer import Offer
from cdc.feed.settings import FeedSettings

__all__ = ["ChangeFeed", "FeedSettings", "Offer"]

"""Domain events out of changes of somebody else's table: declared change by change, recorded exactly once.

    customers = Translation("customers", CapturedTable("crm", "public.customers"), stream="customer-{id}")

    @customers.on("c", "r")
    def registered(change: Change) -> CustomerRegistered:
        return CustomerRegistered(change.row["name"])

Declaring loads no driver; `cdc.translate.translator` runs translations, and `cdc translate` does so from the console.
"""

from cdc.translate.translation import Translation, Translations

__all__ = ["Translation", "Translations"]

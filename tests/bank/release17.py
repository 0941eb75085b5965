"""The bank whose rows are in sinks too: balances in Valkey and a search index, totals of shared rows in Valkey, trails in PostgreSQL."""

from projections import Postgres, Projections, Search, Valkey
from tests.bank.read_model import declare
from tests.bank.release1 import moved

bank = declare(17, moved)
balances = bank.balance.into(Valkey(ranked=["cents"]))
found = bank.balance.into(Search(text=["account"], exact=["cents", "moves"]))
totals = bank.kinds.into(Valkey())
trails = bank.trail.into(Postgres())
app = Projections(bank.projection)

"""Its next release, in which balances hold the turnover; the sinks are the same."""

from projections import Postgres, Projections, Search, Valkey
from tests.bank.read_model import declare
from tests.bank.release2 import moved

bank = declare(18, moved)
balances = bank.balance.into(Valkey(ranked=["cents"]))
found = bank.balance.into(Search(text=["account"], exact=["cents", "moves"]))
totals = bank.kinds.into(Valkey())
trails = bank.trail.into(Postgres())
app = Projections(bank.projection)

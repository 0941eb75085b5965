"""The bank with the effects of release 7 and another version of its rows: it goes live by a replay."""

from projections import Projections
from tests.bank.release7 import declare

app = Projections(declare(8))

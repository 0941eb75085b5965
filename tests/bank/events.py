"""What happens in the bank. A move of kind `poison` makes its handler raise, an account may be closed and used again."""

from eventstore.event import event


@event("money-moved", version=1)
class MoneyMoved:
    account: str
    amount: int
    kind: str


@event("account-closed", version=1)
class AccountClosed:
    account: str


@event("account-noted", version=1)
class AccountNoted:
    """No handler takes it."""

    account: str

"""Personal data in events: marked by the class, sealed with a key per subject, gone once the key is gone.

Sealing happens before an event leaves the process, opening after it came back, so the event table, the topics, parked records and
backups hold ciphertext only. Destroying a subject's key therefore erases the person everywhere at once; what is left reads as
REDACTED. Read docs/explanation/privacy.md for what this defends against and what not.
"""

from eventstore.privacy.keyring import Keyring
from eventstore.privacy.keystore import KeyStore, SubjectKey
from eventstore.privacy.marker import REDACTED, SEALED, Personal, Redacted, Subject, is_redacted

__all__ = ["REDACTED", "SEALED", "KeyStore", "Keyring", "Personal", "Redacted", "Subject", "SubjectKey", "is_redacted"]

"""Secrets by reference: `${env:NAME}`, `${file:/path:key}`, `${dir:/path:file}`, resolved by the Connect worker.

Connect stores a configuration in a Kafka topic and shows it to whoever asks, so a password must never be in it. The worker
needs the providers: `config.providers=env,file,dir` (`refold up` sets them). The same references are resolved here only to
open our own SQL connection, when the file or variable happens to be readable on this machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from eventstore.errors import PreconditionFailed, UsageError

_REFERENCE = re.compile(r"\$\{(?P<provider>[a-zA-Z0-9_-]+):(?P<rest>[^}]+)\}\Z")
_SECRET_NAME = re.compile(
    r"password|passphrase|secret|sasl\.jaas|token|credential|user\.info|api\.?key|(private|keystore|ssl)\.?key\Z", re.IGNORECASE
)


def is_reference(value: str) -> bool:
    """Tell whether *value* is one reference to a configuration provider."""
    return _REFERENCE.match(value) is not None


def is_secret_name(option: str) -> bool:
    """Tell whether an option of this name holds a secret."""
    return _SECRET_NAME.search(option) is not None


def refuse_plain(option: str, value: str) -> str:
    """Give *value* back if it is a reference. Raises UsageError for a secret in plain text, without repeating it."""
    if is_reference(value):
        return value
    raise UsageError(
        f"{option} is given in plain text, and Connect shows its configuration to everyone who asks: put it into a file that "
        'the Connect worker can read and write password_file = "/path/of/the/file", or refer to it as ${env:NAME}, '
        "${file:/path/of/properties:key} or ${dir:/path:file}",
        option=option,
    )


def refer_file(path: Path) -> str:
    """Give the reference to a file whose whole content is the secret; `path#key` means a key of a properties file."""
    name, hash_, key = path.name.partition("#")
    whole = (path.parent / name).absolute()
    return f"${{file:{whole}:{key}}}" if hash_ else f"${{dir:{whole.parent}:{whole.name}}}"


def resolve(value: str) -> str:
    """Give the secret behind a reference, as far as it is readable here. Raises PreconditionFailed saying what is not."""
    match = _REFERENCE.match(value)
    if match is None:
        return value
    provider, rest = match["provider"], match["rest"]
    try:
        if provider == "env":
            return os.environ[rest.rpartition(":")[2]]
        path, _, key = rest.rpartition(":")
        if provider == "dir":
            return (Path(path) / key).read_text(encoding="utf-8")
        if provider == "file":
            return _properties(Path(path).read_text(encoding="utf-8"))[key]
    except (OSError, KeyError) as error:
        raise PreconditionFailed(
            f"the reference {value} can't be resolved on this machine ({type(error).__name__}: {error}), so the source database "
            "can't be asked: run this where the file or variable is, or give its URI in REFOLD_CDC_DSN",
            reference=value,
        ) from error
    raise PreconditionFailed(f"the provider {provider!r} of {value} is unknown here: give the database's URI in REFOLD_CDC_DSN")


def _properties(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith(("#", "!")))
    return {key.strip(): value.strip() for key, value in pairs}

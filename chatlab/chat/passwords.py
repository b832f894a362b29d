"""Salted slow hashes of passwords (Argon2id, RFC 9106).

Before it is hashed a password is prepared like an OpaqueString (RFC 8265, 4.2), so that it does not matter how a
keyboard composes its characters: it is brought to normalization form C, and every kind of space becomes U+0020. Unlike
the RFC we refuse no character: an emoji or a control character may be part of a password, as it always could.
"""

import unicodedata

from ..messages import ChatError

MAX_PASSWORD = 256  # characters: normalization may take time that is quadratic in them


def checked_password(password: str) -> str:
    """The password as it is hashed. Raises `ChatError` BAD_VALUE where it is too long.

    >>> checked_password("ope\\u0301n\\u00a0sesame") == "opén sesame"
    True
    """
    if len(password) > MAX_PASSWORD:
        raise ChatError("BAD_VALUE", f"a password has at most {MAX_PASSWORD} characters, not {len(password)}")
    spaced = "".join([" " if unicodedata.category(character) == "Zs" else character for character in password])
    return unicodedata.normalize("NFC", spaced)


def hash_password(password: str) -> str:
    """A salted Argon2id hash with the library's parameters. Takes tens of milliseconds, on purpose."""
    from argon2 import PasswordHasher

    return PasswordHasher().hash(checked_password(password))


def fits_password(password_hash: str, password: str) -> bool:
    """Whether the hash was made from this password. Takes as long as making it."""
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError

    try:
        return PasswordHasher().verify(password_hash, checked_password(password))
    except VerificationError:
        return False

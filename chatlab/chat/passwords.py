"""Salted slow hashes of passwords (Argon2id, RFC 9106)."""


def hash_password(password: str) -> str:
    """A salted Argon2id hash with the library's parameters (RFC 9106). Takes tens of milliseconds, on purpose."""
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)


def fits_password(stored: str, password: str) -> bool:
    """Whether the hash was made from this password."""
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError

    try:
        return PasswordHasher().verify(stored, password)
    except VerificationError:
        return False

"""The second step: codes of six digits, one for every 30 seconds (RFC 6238), from a secret that an app keeps."""

import re
from datetime import datetime
from typing import NamedTuple

import pyotp
from pyotp.exceptions import OTPVerificationError

ISSUER = "Verdelta"
STEPS_BESIDE = 1  # a code is taken one step early and one late: clocks differ

_CODE = re.compile(r"[0-9]{6}")


class Offer(NamedTuple):
    """What an app needs for computing codes: the secret (base 32), and the same as an otpauth:// address."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Offer()"


def new_secret() -> str:
    """Return a secret of 160 bits, base 32."""
    return pyotp.random_base32()


def offer(secret: str, name: str) -> Offer:
    """Return how an app is told a secret.  The form: github.com/google/google-authenticator/wiki/Key-Uri-Format."""
    return Offer(secret, pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER))


def counter_of(secret: str, code: str, at: datetime) -> int | None:
    """Return which step a code belongs to, or None when it is not one of the secret's around this moment."""
    if _CODE.fullmatch(code) is None:
        return None
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=at, valid_window=STEPS_BESIDE)
    except OTPVerificationError:
        return None

"""Enrol this host: a key for one invitation, and an identity once the controller was told of that key.

Whenever this is interrupted, the same again goes on where it ended: a key without an identity is that of an enrolment
whose answer did not come back, and the controller takes the same key for the same invitation as often as it comes.
"""

import os
from typing import Callable, NamedTuple, Optional

from . import identity as state
from . import kept
from .spool import Spool
from .wire import ENROL, Token

Send = Callable[[bytes], str]  # an envelope -> the digest of the message accepted, "" where that is not known yet


class AlreadyEnrolled(Exception):
    """This host has an identity.  The text says which, and how to drop it."""


class Enrolled(NamedTuple):
    """Who the host is now, and the fingerprint of its key."""

    host_id: str
    key_id: str


def enrol(directory: str, token: Token, url: str, ca_file: Optional[str], replace: bool, send: Send) -> Enrolled:
    """Make a key, have `send` bring it to the controller, and keep who this host is from now on.

    Raises AlreadyEnrolled, IdentityError, OSError, and whatever `send` raises.
    """
    with state.locked(directory):
        key = _key_for(directory, token, replace)
        identity = state.Identity(token.host_id, token.audience, token.epoch, url, ca_file)
        body = {
            "token": str(token),
            "scheme": key.scheme,
            "public_key": key.public_key,
            "host_name": os.uname().nodename,
        }
        payload, history = state.next_message(identity, _history(directory), ENROL, body)
        state.save_history(directory, history)
        accepted = send(state.seal(payload, key))
        state.save_history(directory, state.acknowledge(history, accepted))
        state.save_identity(directory, identity)
        return Enrolled(identity.host_id, state.key_id(key.public_key))


def _history(directory: str) -> state.History:
    """Return the history of a key that was sent before without an answer, or that of a new one."""
    return state.load_history(directory) if _is_there(directory, "history.json") else state.History()


def _key_for(directory: str, token: Token, replace: bool) -> state.Key:
    """Return the key to enrol with: that of an earlier attempt with the same invitation, or a new one."""
    if _is_there(directory, "identity.json"):
        if not replace:
            known = state.load_identity(directory).host_id
            raise AlreadyEnrolled("this host is enrolled as %s\n  To enrol it anew with a new key: --replace" % known)
        _drop(directory, "key", "key.pub", "history.json", "identity.json")  # the identity last: until then, this again
    invitation = "%s.%s.%d" % (token.audience, token.host_id, token.epoch)
    if kept.load_invitation(directory) != invitation:
        _drop(directory, "key", "key.pub", "history.json", "told.json")
        Spool(directory).clear()
        kept.save_invitation(directory, invitation)
    return state.load_key(directory) if _is_there(directory, "key") else state.create_key(directory)


def _drop(directory: str, *names: str) -> None:
    for name in names:
        if _is_there(directory, name):
            os.unlink(os.path.join(directory, name))


def _is_there(directory: str, name: str) -> bool:
    return os.path.lexists(os.path.join(directory, name))

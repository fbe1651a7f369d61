"""The enrolment message of an agent, checked."""

from typing import NamedTuple, Self

from verdelta_agent import wire

from ..foundation import signing
from ..foundation.errors import InvalidInput
from ..foundation.ids import digest_of_secret

LIMIT = 64 << 10  # bytes of an enrolment


class Enrolment(NamedTuple):
    """A key that an agent made, signed with itself, and the token that invites it."""

    host_id: str
    epoch: int
    secret_digest: str  # of the invitation
    scheme: str
    public_key: str
    key_id: str
    sequence: int
    digest: str  # of the message: the next one has to name it

    @classmethod
    def parse(cls, data: bytes, audience: str) -> Self:
        """Return the enrolment in an envelope whose signature proves possession of the key.

        Raises InvalidInput, BadSignature.
        """
        if len(data) > LIMIT:
            raise InvalidInput(f"an enrolment of {len(data)} bytes; at most {LIMIT}")
        try:
            envelope = wire.decode_envelope(data)
            message = wire.decode_message(envelope.payload)
            token = wire.parse_token(str(message.body.get("token", "")))
        except wire.WireError as error:
            raise InvalidInput(f"enrolment: {error}") from error
        if message.kind != wire.ENROL or message.audience != audience or token.audience != audience:
            raise InvalidInput("this enrolment is for another controller")
        if (message.host_id, message.epoch) != (token.host_id, token.epoch):
            raise InvalidInput("the enrolment and its token name different hosts")
        if message.sequence < 1:
            raise InvalidInput("the sequence number of this message is out of range")
        scheme, public_key = str(message.body.get("scheme", "")), str(message.body.get("public_key", ""))
        signing.verify(scheme, public_key, wire.to_be_signed(envelope.payload), envelope.signature)
        key_id = signing.key_id(scheme, public_key)
        return cls(
            host_id=token.host_id,
            epoch=token.epoch,
            secret_digest=digest_of_secret(token.secret),
            scheme=scheme,
            public_key=public_key,
            key_id=key_id,
            sequence=message.sequence,
            digest=envelope.digest,
        )

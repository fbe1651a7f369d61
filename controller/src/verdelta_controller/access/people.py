"""People: their accounts, logins, roles and teams, put together."""

from sqlmodel import Session

from ..foundation.database import Database
from ..foundation.evidence import EvidenceLog
from ..foundation.signing import Vault
from .accounts import Accounts
from .grants import Grants
from .logins import Logins
from .rules import Actor, Role
from .teams import Teams


class People:
    """Every use-case around people; also what signing asks: who it is at this moment, and whose role it is."""

    def __init__(self, database: Database, evidence: EvidenceLog, vault: Vault) -> None:
        self.accounts = Accounts(database, evidence, vault)
        self.logins = Logins(database, evidence, vault)
        self.grants = Grants(database, evidence)
        self.teams = Teams(database, evidence)

    def confirm_second_step(self, actor: Actor, code: str) -> None:
        """Take a code of the actor's second step; it works once.  Raises NotAllowed."""
        self.logins.confirm_second_step(actor, code)

    def lender_of(self, session: Session, actor: Actor, role: Role) -> str | None:
        """Return whose role it is, where it is lent to the actor now; None where it is her own.  Raises NotAllowed."""
        return self.grants.lender_of(session, actor, role)

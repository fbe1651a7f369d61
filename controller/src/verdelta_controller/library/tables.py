"""What the library holds, and who brought it in."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from ..foundation.database import UtcDateTime


class Artifact(SQLModel, table=True):
    """One file of the library, named by its SHA-256; `file_name` is what it was called when it came in first."""

    digest: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    file_name: str
    added_at: datetime = Field(sa_type=UtcDateTime)
    added_by: str

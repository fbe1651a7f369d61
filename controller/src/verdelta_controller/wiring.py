"""Put the parts together: the one place that knows every feature."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verdelta_agent.model import SECTION_NAMES

from .access.service import AccessService
from .access.tables import ApiToken, PageSession, Person
from .fleet.enrolling import Bootstrap
from .fleet.service import FleetService
from .fleet.tables import AgentKey, Credential, EnrolmentToken, Host
from .foundation import certificates
from .foundation.database import Database
from .foundation.errors import InvalidInput, NotFound
from .foundation.events import EventBus
from .foundation.evidence import EvidenceLog
from .foundation.settings import Settings
from .foundation.signing import SigningKey, Vault, audience_of
from .inventory.auditing import Auditor
from .inventory.service import InventoryService
from .inventory.tables import SectionContent, Snapshot, StoredEnvelope
from .library.bundles import Bundles
from .library.service import LibraryService
from .library.store import ArtifactStore
from .library.tables import Artifact
from .releases.service import ReleaseService
from .releases.tables import Release
from .rollouts.bundle_export import Exporter
from .rollouts.conductor import Conductor
from .rollouts.engine import DbosEngine, Engine
from .rollouts.installers.push import PushInstaller
from .rollouts.judging import os_row
from .rollouts.overview import Overview
from .rollouts.progress import Progress
from .rollouts.proofs import Proofs
from .rollouts.records import Records
from .rollouts.service import RolloutService
from .rollouts.tables import Deployment, Intent, Rollout, Wave

# Every table, so that whoever imports this module has the whole schema at hand.
TABLES = (
    ApiToken, PageSession, Person, AgentKey, Credential, EnrolmentToken, Host, SectionContent, Snapshot, StoredEnvelope,
    Artifact, Release, Deployment, Intent, Rollout, Wave,
)  # fmt: skip


@dataclass(frozen=True)
class Services:
    """Every use-case, ready to be called."""

    settings: Settings
    database: Database
    evidence: EvidenceLog
    signing_key: SigningKey
    events: EventBus
    access: AccessService
    fleet: FleetService
    bootstrap: Bootstrap
    inventory: InventoryService
    auditor: Auditor
    library: LibraryService
    bundles: Bundles
    releases: ReleaseService
    rollouts: RolloutService
    overview: Overview
    exporter: Exporter
    proofs: Proofs
    engine: Engine


def initialise(settings: Settings) -> None:
    """Make the state directory with its keys, its CA and an empty database; what is there already stays as it is."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.state.chmod(0o700)
    SigningKey.load_or_create(settings.state / "signing.key")
    Vault.load_or_create(settings.state / "vault.key")
    certificates.ensure_ca(settings.state)
    database = Database(settings.database_url)
    database.migrate()
    database.close()


def build(settings: Settings) -> Services:
    """Return the services on an initialised state directory.  Raises NotFound, InvalidInput (newer database)."""
    state = settings.state
    if not (state / "signing.key").exists():
        raise NotFound(f"{state} has no controller in it", mend=f"verdelta init --state {state}")
    if state.stat().st_mode & 0o022:
        raise InvalidInput(f"{state}: others may write there, and exchange keys", mend=f"chmod 700 {state}")
    database = Database(settings.database_url)
    database.migrate()
    signing_key, vault = SigningKey.load(state / "signing.key"), Vault.load(state / "vault.key")
    audience = audience_of(signing_key.public_key)
    evidence, events = EvidenceLog(signing_key, f"verdelta/{audience}"), EventBus()
    fleet = FleetService(database, evidence, vault, audience)
    inventory = InventoryService(database, fleet, evidence, settings.envelope_limit)
    auditor = Auditor(fleet, inventory)
    store = ArtifactStore(state / "library", settings.artifact_limit)
    library = LibraryService(database, evidence, store)
    releases = ReleaseService(database, evidence, library, SECTION_NAMES)
    records, progress = Records(database, evidence, events, releases.follow), Progress(events)
    installer = PushInstaller(
        records, fleet, library, releases, progress, _family_of(inventory), scratch(state, audience), settings.forks
    )
    conductor = Conductor(records, fleet, inventory, auditor, releases, installer, settings.forks)
    engine = DbosEngine(state, conductor)
    return Services(
        settings=settings,
        database=database,
        evidence=evidence,
        signing_key=signing_key,
        events=events,
        access=AccessService(database, evidence),
        fleet=fleet,
        bootstrap=Bootstrap(fleet, settings.url, state / "ca.pem"),
        inventory=inventory,
        auditor=auditor,
        library=library,
        bundles=Bundles(database, evidence, store),
        releases=releases,
        rollouts=RolloutService(records, fleet, releases, engine, progress),
        overview=Overview(database, releases),
        exporter=Exporter(database, evidence, inventory, releases, records, signing_key),
        proofs=Proofs(database, evidence),
        engine=engine,
    )


def scratch(state: Path, audience: str) -> Path:
    """Return where this controller's private directory on tmpfs is, for keys while they are in use.

    It lies on disk where there is no tmpfs.  It is this controller's alone, as its name says, so whatever an earlier
    run left there can go.
    """
    shared = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it, and its owner checked
    return (shared if os.access(shared, os.W_OK) else state) / f"verdelta-{audience[:16]}"


def _family_of(inventory: InventoryService) -> Callable[[str], str]:
    def family(host_id: str) -> str:
        snapshot = inventory.last_known(host_id)
        row = os_row(inventory.sections_of(snapshot, ["system.host"])) if snapshot else None
        return str((row or {}).get("family", "other"))

    return family

"""Put the parts together: the one place that knows every feature."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verdelta_agent.model import SECTION_NAMES

from .access import oidc_tables, people_tables
from .access import tables as access_tables
from .access.oidc_logins import OidcLogins
from .access.oidc_provider import provider_of
from .access.people import People
from .access.rules import Actor
from .access.service import THIS_MACHINE, AccessService
from .fleet import environment_tables
from .fleet import tables as fleet_tables
from .fleet.bookings import Bookings
from .fleet.enrolling import Bootstrap
from .fleet.environments import Environments
from .fleet.service import FleetService
from .foundation import certificates
from .foundation.database import Database
from .foundation.errors import InvalidInput, NotFound
from .foundation.events import EventBus
from .foundation.evidence import EvidenceLog
from .foundation.settings import Settings
from .foundation.signing import SigningKey, Vault, audience_of
from .inventory import tables as inventory_tables
from .inventory.auditing import Auditor
from .inventory.contents import Contents
from .inventory.device_names import DeviceNames
from .inventory.service import InventoryService
from .library import tables as library_tables
from .library.bundles import Bundles
from .library.checking import Checking
from .library.keeping import Keeping
from .library.retention import Retention
from .library.service import LibraryService
from .library.store import ArtifactStore
from .library.tasks import Tasks
from .library.tracing import Tracing
from .library.uploading import UploadService
from .releases import tables as release_tables
from .releases import usage
from .releases.audited_components import ReleasedComponents
from .releases.inbox import ReleaseInbox
from .releases.packages import PackageService
from .releases.policy import shipped_policy
from .releases.policy_service import PolicyService
from .releases.record_service import RecordService
from .releases.service import ReleaseService
from .releases.signing_off import SigningOffService, move_person
from .releases.test_service import TestService
from .rollouts import tables as rollout_tables
from .rollouts.bundle_export import Exporter
from .rollouts.conductor import Conductor
from .rollouts.engine import DbosEngine, Engine
from .rollouts.holdings import holdings
from .rollouts.inbox_service import Inbox
from .rollouts.installers.push import PushInstaller
from .rollouts.judging import os_row
from .rollouts.matrix_service import MatrixService
from .rollouts.overview import Overview
from .rollouts.progress import Progress
from .rollouts.promotion import Promotion
from .rollouts.proofs import Proofs
from .rollouts.records import Records
from .rollouts.rehearsals import RehearsalService
from .rollouts.release_evidence_export import ReleaseExporter
from .rollouts.service import RolloutService

# Where the tables of every feature are, so that whoever imports this module has the whole schema at hand.
TABLES = (
    access_tables,
    people_tables,
    oidc_tables,
    environment_tables,
    fleet_tables,
    inventory_tables,
    library_tables,
    release_tables,
    rollout_tables,
)


@dataclass(frozen=True)
class Services:
    """Every use-case, ready to be called."""

    settings: Settings
    database: Database
    evidence: EvidenceLog
    signing_key: SigningKey
    events: EventBus
    access: AccessService
    people: People
    oidc: OidcLogins
    fleet: FleetService
    environments: Environments
    bookings: Bookings
    bootstrap: Bootstrap
    inventory: InventoryService
    auditor: Auditor
    device_names: DeviceNames
    library: LibraryService
    policies: PolicyService
    library_tasks: Tasks
    library_checking: Checking
    library_keeping: Keeping
    retention: Retention
    tracing: Tracing
    uploads: UploadService
    bundles: Bundles
    releases: ReleaseService
    packages: PackageService
    tests: TestService
    records: RecordService
    signing_off: SigningOffService
    rehearsals: RehearsalService
    rollouts: RolloutService
    overview: Overview
    inbox: Inbox
    promotion: Promotion
    matrix: MatrixService
    exporter: Exporter
    release_exporter: ReleaseExporter
    proofs: Proofs
    engine: Engine


def initialise(settings: Settings, policy: str = "standard") -> None:
    """Make the state directory with its keys, its CA and a database with a release policy in force.

    What is there already stays as it is.  Raises NotFound for a policy that is not among those shipped.
    """
    shipped_policy(policy)
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.state.chmod(0o700)
    key = SigningKey.load_or_create(settings.state / "signing.key")
    Vault.load_or_create(settings.state / "vault.key")
    certificates.ensure_ca(settings.state)
    database = Database(settings.database_url)
    database.migrate()
    evidence = EvidenceLog(key, f"verdelta/{audience_of(key.public_key)}")
    PolicyService(database, evidence).begin(policy, Actor(THIS_MACHINE, frozenset()))
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
    store, tasks = ArtifactStore(state / "library", settings.artifact_limit), Tasks(database)
    library = LibraryService(database, evidence, store, usage.uses)
    uploads = UploadService(database, library, store, tasks)
    people = People(database, evidence, vault)
    people.accounts.on_merge(move_person)
    releases = ReleaseService(database, evidence, library, SECTION_NAMES)
    tests = TestService(database, evidence, library)
    records, progress = Records(database, evidence, events, releases), Progress(events)
    installer = PushInstaller(
        records, fleet, library, releases, progress, _family_of(inventory), scratch(state, audience), settings.forks
    )
    conductor = Conductor(records, fleet, inventory, auditor, releases, tests, installer, settings.forks)
    engine = DbosEngine(state, conductor)
    environments, components = Environments(database, evidence), ReleasedComponents(database)
    promotion = Promotion(database, environments)
    packages = PackageService(releases, library)
    exporter = Exporter(database, evidence, inventory, releases, records, signing_key)
    bookings, overview = Bookings(database, evidence), Overview(database, releases)
    return Services(
        settings=settings,
        database=database,
        evidence=evidence,
        signing_key=signing_key,
        events=events,
        access=AccessService(database, evidence),
        people=people,
        oidc=OidcLogins(database, evidence, vault, provider_of(settings)),
        fleet=fleet,
        environments=environments,
        bookings=bookings,
        bootstrap=Bootstrap(fleet, settings.url, state / "ca.pem"),
        inventory=inventory,
        auditor=auditor,
        device_names=DeviceNames(settings.device_names),
        library=library,
        policies=PolicyService(database, evidence),
        library_tasks=tasks,
        library_checking=Checking(database, evidence, store, uploads, tasks),
        library_keeping=Keeping(database, evidence, vault, library, store, tasks, usage.uses),
        retention=Retention(database, evidence, usage.files_of, usage.uses, holdings),
        tracing=Tracing(database, library, usage.uses, holdings),
        uploads=uploads,
        bundles=Bundles(database, evidence, store),
        releases=releases,
        packages=packages,
        tests=tests,
        records=RecordService(database, evidence, library),
        signing_off=SigningOffService(database, evidence, people),
        rehearsals=RehearsalService(records, fleet, inventory, releases, tests),
        rollouts=RolloutService(records, fleet, releases, promotion, engine, progress),
        overview=overview,
        inbox=Inbox(people, bookings, ReleaseInbox(database, people.grants), overview),
        promotion=promotion,
        matrix=MatrixService(environments, Contents(database), components, promotion),
        exporter=exporter,
        release_exporter=ReleaseExporter(database, evidence, releases, packages, library, exporter, signing_key),
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

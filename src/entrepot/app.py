"""App: everything a request needs that lives longer than the request. The one place that opens and closes resources."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from entrepot.access.permissions import Permission
from entrepot.audit import record, witness
from entrepot.audit.brake import Brake
from entrepot.audit.forward import Forwarder
from entrepot.audit.pulls import PullLog
from entrepot.audit.witness import Witness
from entrepot.clock import Clock, system_clock
from entrepot.database.caches import Caches
from entrepot.database.database import Database
from entrepot.database.open import open_database
from entrepot.identity.keys import Keys, load_or_make
from entrepot.identity.passwords import Verifier
from entrepot.identity.providers import Providers, open_providers
from entrepot.lifecycle.readiness import Readiness
from entrepot.outbound.client import Outbound
from entrepot.settings import ServerSettings, Settings
from entrepot.storage.open import open_store
from entrepot.storage.store import BlobStore, StoredBlob
from entrepot.telemetry.metrics import Metrics

ACCOUNTS_BYTES_MAX, PASSWORDS_BYTES_MAX = 16 * 1024 * 1024, 8 * 1024 * 1024
"""What a worker remembers of users, their rights, tokens and sessions; and of passwords, 7000 of them, roughly."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    settings: Settings
    database: Database
    store: BlobStore
    keys: Keys
    witness: Witness
    passwords: Verifier
    outbound: Outbound
    providers: Providers
    public_permissions: frozenset[Permission]
    """What everybody may, signed in or not."""
    readiness: Readiness
    pulls: PullLog
    failures: Brake
    requests_of_users: Brake | None
    requests_of_addresses: Brake | None
    """None where there is no limit."""
    forwarder: Forwarder
    large_manifests: asyncio.Semaphore
    """One at a time is taken in: some take a second of work, which others that push shall not wait for many times."""
    caches: Caches
    metrics: Metrics
    clock: Clock


@asynccontextmanager
async def open_app(
    settings: Settings,
    metrics: Metrics,
    clock: Clock = system_clock,
    is_stopping: Callable[[], bool] = lambda: False,
    is_maintained: Callable[[], bool] = lambda: True,
) -> AsyncIterator[App]:
    """Open the resources that the settings name, in the event loop that will use them; close them at the end.

    `is_stopping` tells that the server was told to end, and still serves, `is_maintained` that there is maintenance.
    """

    def on_damage(blob: StoredBlob) -> None:
        metrics.damaged_blobs.inc()
        log.error(
            "the stored bytes of %s (%d bytes, at %s) are missing or damaged", blob.digest, blob.size, blob.location
        )

    keys, limits = load_or_make(settings.keys_directory), settings.limits
    async with AsyncExitStack() as resources:
        passwords = Verifier(lambda algorithm: metrics.password_hashes.labels(algorithm).inc())
        resources.callback(passwords.close)
        database = open_database(settings.database, settings.data)
        resources.push_async_callback(database.close)
        store = open_store(settings.storage, settings.data, on_damage)
        resources.push_async_callback(store.close)
        outbound = Outbound()
        resources.push_async_callback(outbound.close)
        providers = open_providers(settings.providers, outbound, clock)
        resources.push_async_callback(providers.close)
        pulls = PullLog(lambda records: database.write(record.write_all, records))
        resources.push_async_callback(pulls.close)
        readiness = Readiness(database, store, is_stopping, is_maintained)
        resources.callback(readiness.close)
        caches = Caches(
            database.open_feed(),
            content_bytes_max=limits.cache_content_bytes,
            accounts_bytes_max=ACCOUNTS_BYTES_MAX,
            passwords_bytes_max=PASSWORDS_BYTES_MAX,
        )
        for kind, cache in caches.by_kind.items():
            metrics.watch_cache(kind, cache)
        forwarder = Forwarder(
            settings.audit,
            outbound,
            clock,
            lambda target, count: metrics.audit_forwarded.labels(target).inc(count),
            lambda target, count: metrics.audit_forward_failures.labels(target).inc(count),
        )
        yield App(
            settings=settings,
            database=database,
            store=store,
            keys=keys,
            witness=witness.at(settings.keys_directory, keys.audit),
            passwords=passwords,
            outbound=outbound,
            providers=providers,
            public_permissions=_public_permissions(settings.server),
            readiness=readiness,
            pulls=pulls,
            failures=Brake(settings.login.address_failures_free),
            requests_of_users=_brake(limits.requests_per_user_burst, limits.requests_per_user_per_second),
            requests_of_addresses=_brake(limits.requests_per_address_burst, limits.requests_per_address_per_second),
            forwarder=forwarder,
            large_manifests=asyncio.Semaphore(1),
            caches=caches,
            metrics=metrics,
            clock=clock,
        )


def _public_permissions(server: ServerSettings) -> frozenset[Permission]:
    by_setting = {Permission.METRICS_READ: server.public_metrics, Permission.API_DOCUMENT: server.public_api_document}
    return frozenset({Permission.PUBLIC, *(permission for permission, public in by_setting.items() if public)})


def _brake(burst: int, per_second: int) -> Brake | None:
    return Brake(burst, per_second=per_second) if per_second else None
